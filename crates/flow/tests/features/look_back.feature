Feature: Looking back
  A `listen` that takes events that were stored shortly before.

  Scenario: An event that came before counts
    Given the tasks are:
      """yaml
      - l: {metadata: {trunkline: {lookBack: PT1H}}, listen: {to: {one: {with: {type: was.early}}}}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: was.early, data: {n: 1}}
      """
    And PT30M passes
    And the workflow is executed
    Then the workflow should complete with output:
      """yaml
      - {n: 1}
      """

  Scenario: One that came too long before does not
    Given the tasks are:
      """yaml
      - l: {metadata: {trunkline: {lookBack: PT1H}}, listen: {to: {one: {with: {type: was.early}}}}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: was.early, data: {n: 1}}
      """
    And PT2H passes
    And the workflow is started
    Then the workflow should wait

  Scenario: Without it nothing of the past counts
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: was.early}}}}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: was.early, data: {n: 1}}
      """
    And PT1S passes
    And the workflow is started
    Then the workflow should wait

  Scenario: Past and present together, each once
    Given the tasks are:
      """yaml
      - l: {metadata: {trunkline: {lookBack: PT1H}}, listen: {to: {any: [{with: {type: was.any}}], until: 'length >= 3'}}}
      - s: {set: {n: '${ map(.n) }'}}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: was.any, data: {n: 1}}
      - {type: was.any, data: {n: 2}}
      """
    And PT1M passes
    And the workflow is started
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: was.any, data: {n: 3}}
      """
    Then the workflow should complete with output:
      """yaml
      n: [1, 2, 3]
      """

  Scenario: Only what is correlated
    Given the tasks are:
      """yaml
      - l:
          metadata: {trunkline: {lookBack: PT1H}}
          listen: {to: {one: {with: {type: was.early}, correlate: {it: {from: .data.id, expect: '${ .id }'}}}}}
      """
    And the workflow input is:
      """yaml
      id: b
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: was.early, data: {id: a}}
      - {type: was.early, data: {id: b}}
      """
    And PT1M passes
    And the workflow is executed
    Then the workflow should complete with output:
      """yaml
      - {id: b}
      """

  Scenario Outline: Looking back survives a crash <point> commit <n>
    Given the tasks are:
      """yaml
      - l: {metadata: {trunkline: {lookBack: PT1H}}, listen: {to: {one: {with: {type: was.early}}}}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: was.early, data: {n: 1}}
      """
    And PT1M passes
    And the hub crashes <point> commit <n>
    And the workflow is executed
    Then the workflow should complete
    Examples:
      | point  | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
