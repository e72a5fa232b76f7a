Feature: Switch
  The first case that holds; none is no error (rules 10 and 33).

  Background:
    Given the tasks are:
      """yaml
      - choose:
          switch:
            - small: {when: .n < 10, then: small}
            - even: {when: '.n % 2 == 0', then: even}
            - huge: {when: .n > 1000, then: end}
      - other: {set: {was: other}, then: end}
      - small: {set: {was: small}, then: end}
      - even: {set: {was: even}, then: end}
      """

  Scenario Outline: <n> is <was>
    Given the workflow input is:
      """yaml
      n: <n>
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      <output>
      """
    Examples:
      | n    | was   | output       |
      | 3    | small | {was: small} |
      | 4    | small | {was: small} |
      | 12   | even  | {was: even}  |
      | 13   | other | {was: other} |
      | 1001 | huge  | {n: 1001}    |

  Scenario: The default is taken when no case holds
    Given the tasks are:
      """yaml
      - choose:
          switch:
            - a: {when: .n == 1, then: a}
            - rest: {then: b}
      - a: {set: {was: a}, then: end}
      - b: {set: {was: b}, then: end}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      was: b
      """

  Scenario: Two defaults are refused
    Given the tasks are:
      """yaml
      - choose:
          switch:
            - a: {then: end}
            - b: {then: exit}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 33'

  Scenario: A default before a case is refused
    Given the tasks are:
      """yaml
      - choose:
          switch:
            - a: {then: end}
            - b: {when: .n == 1, then: exit}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 33'

  Scenario: The output of the task is its input
    Given the tasks are:
      """yaml
      - choose:
          input: {from: .inner}
          switch:
            - a: {when: . == 1, then: end}
      """
    And the workflow input is:
      """yaml
      inner: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      1
      """

  Scenario: The case's way wins over the task's
    Given the tasks are:
      """yaml
      - choose:
          switch:
            - a: {when: 'true', then: b}
          then: end
      - b: {set: {was: b}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      was: b
      """

  Scenario: Exit in a case leaves the list
    Given the tasks are:
      """yaml
      - outer:
          do:
            - choose: {switch: [{a: {when: 'true', then: exit}}]}
            - never: {set: {was: never}}
      - after: {set: {was: after}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      was: after
      """
    And never should not run

  Scenario: A case that cannot be computed is an error
    Given the tasks are:
      """yaml
      - choose: {switch: [{a: {when: '.n + {}', then: end}}]}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      instance: /do/0/choose
      """
