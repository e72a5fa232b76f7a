Feature: Emit
  Events of workflows are in the journal with the step that emits them.

  Scenario: An emitted event is the output
    Given the tasks are:
      """yaml
      - e: {emit: {event: {with: {type: order.made, subject: '${ .id }', data: {n: '${ .n }'}}}}}
      """
    And the workflow input is:
      """yaml
      {id: o1, n: 2}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have properties 'id', 'time', 'specversion'
    And the workflow output should have a 'data' property with value:
      """yaml
      n: 2
      """
    And the event order.made should have been published 1 times
    And the event order.made should have the attributes:
      """yaml
      {type: order.made, subject: o1, source: /workflows/suite/it, data: {n: 2}}
      """

  Scenario: Source, time and extensions may be given
    Given the tasks are:
      """yaml
      - e:
          emit:
            event:
              with: {type: order.made, source: /shop, time: '2024-05-01T10:00:00Z', region: eu, data: 1}
      """
    When the workflow is executed
    Then the event order.made should have the attributes:
      """yaml
      {source: /shop, time: '2024-05-01T10:00:00Z', region: eu, data: 1}
      """

  Scenario: Whose the event is cannot be given
    Given the tasks are:
      """yaml
      - e: {emit: {event: {with: {type: order.made, tenant: somebody-else, correlationid: x, data: 1}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event order.made should have been published 1 times

  Scenario: What is no event is an error
    Given the tasks are:
      """yaml
      - e: {emit: {event: {with: {type: '${ .type }'}}}}
      """
    And the workflow input is:
      """yaml
      type: no type
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
      status: 400
      instance: /do/0/e
      """

  Scenario: An event without a type is refused
    Given the tasks are:
      """yaml
      - e: {emit: {event: {with: {subject: x}}}}
      """
    When the workflow is published
    Then the definition should be refused because of 'type'

  Scenario: A loop emits an event for each item
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          do: [{e: {emit: {event: {with: {type: item.seen, data: '${ $n }'}}}}}]
      """
    When the workflow is executed
    Then the event item.seen should have been published 3 times

  Scenario: A workflow hears what it emits itself
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - hears: {listen: {to: {one: {with: {type: order.made}}}}}
              - says: {emit: {event: {with: {type: order.made, data: 5}}}}
          output: {as: '.[0]'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [5]
      """

  Scenario Outline: A crash <side> the commit emits nothing twice
    Given the tasks are:
      """yaml
      - a: {wait: PT1S}
      - e: {emit: {event: {with: {type: order.made, data: 1}}}}
      - b: {wait: PT1S}
      """
    And the hub crashes <side> commit 2
    When the workflow is executed
    Then the workflow should complete
    And the event order.made should have been published 1 times
    Examples:
      | side   |
      | before |
      | after  |
