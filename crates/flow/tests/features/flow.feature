Feature: Flow
  Order, jumps, `exit`, `end`, `if`, and bounds (rules 11, 26 to 28, 41).

  Scenario: Exit leaves the list
    Given the tasks are:
      """yaml
      - outer:
          do:
            - a: {set: {a: 1}, then: exit}
            - b: {set: {b: 1}}
      - after: {set: '${ . + {after: true} }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {a: 1, after: true}
      """
    And b should not run

  Scenario: Exit from the outermost list ends the workflow
    Given the tasks are:
      """yaml
      - a: {set: {a: 1}, then: exit}
      - b: {set: {b: 1}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      a: 1
      """

  Scenario: End ends the workflow from anywhere
    Given the tasks are:
      """yaml
      - outer:
          do:
            - inner:
                do:
                  - a: {set: {a: 1}, then: end}
            - b: {set: {b: 1}}
      - c: {set: {c: 1}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      a: 1
      """
    And a should run last

  Scenario: A jump forward leaves tasks out
    Given the tasks are:
      """yaml
      - a: {set: {n: 1}, then: c}
      - b: {set: {n: 2}}
      - c: {set: '${ .n + 10 }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      11
      """
    And b should not run

  Scenario: A jump back makes a loop
    Given the tasks are:
      """yaml
      - count: {set: {n: '${ .n + 1 }'}}
      - again:
          switch:
            - more: {when: .n < 5, then: count}
      - done: {set: '${ .n }'}
      """
    And the workflow input is:
      """yaml
      n: 0
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      5
      """
    And count should run 5 times

  Scenario: A loop without an end is refused
    Given the tasks are:
      """yaml
      - a: {set: {n: 1}}
      - b: {set: {n: 2}, then: a}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 28'

  Scenario: A loop that waits is warned of
    Given the tasks are:
      """yaml
      - a: {wait: PT1M}
      - b: {set: {n: 2}, then: a}
      """
    When the workflow is published
    Then the definition should be warned of because of 'rule 28'

  Scenario: A task of another list cannot be jumped to
    Given the tasks are:
      """yaml
      - outer:
          do:
            - a: {set: {a: 1}, then: c}
      - c: {set: {c: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 11'

  Scenario: A task that does not exist cannot be jumped to
    Given the tasks are:
      """yaml
      - a: {set: {a: 1}, then: nowhere}
      """
    When the workflow is published
    Then the definition should be refused because of 'nowhere'

  Scenario: Tasks that nothing leads to are warned of
    Given the tasks are:
      """yaml
      - a: {set: {a: 1}, then: c}
      - b: {set: {b: 1}}
      - c: {set: {c: 1}}
      """
    When the workflow is published
    Then the definition should be warned of because of 'rule 27'

  Scenario Outline: A task cannot be called <name>
    Given the tasks are:
      """yaml
      - <name>: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 26'
    Examples:
      | name     |
      | continue |
      | exit     |
      | end      |

  Scenario: Two tasks of a list cannot have one name
    Given the tasks are:
      """yaml
      - a: {set: {a: 1}}
      - a: {set: {a: 2}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 26'

  Scenario: A condition that holds
    Given the tasks are:
      """yaml
      - a: {if: .go, set: {ran: true}}
      """
    And the workflow input is:
      """yaml
      go: true
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      ran: true
      """

  Scenario: A skipped task passes its input on
    Given the tasks are:
      """yaml
      - a: {if: .go, set: {ran: true}}
      - b: {set: '${ . + {b: 1} }'}
      """
    And the workflow input is:
      """yaml
      go: false
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {go: false, b: 1}
      """
    And a should not run

  Scenario: A skipped task does not transform
    Given the tasks are:
      """yaml
      - a:
          if: '${ .go }'
          input: {from: .missing.deep}
          output: {as: '${ {out: 1} }'}
          export: {as: '${ {exported: 1} }'}
          set: {ran: true}
      - b: {set: {same: '${ .go == false }', context: '${ $context }'}}
      """
    And the workflow input is:
      """yaml
      go: false
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {same: true, context: {}}
      """

  Scenario: The jump of a skipped task is not followed
    Given the tasks are:
      """yaml
      - a: {if: 'false', set: {a: 1}, then: end}
      - b: {set: {b: 1}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      b: 1
      """

  Scenario Outline: The condition <condition> <counts>
    Given the tasks are:
      """yaml
      - a: {if: '<condition>', set: {ran: true}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      <output>
      """
    Examples:
      | condition | counts   | output      |
      | true      | holds    | {ran: true} |
      | false     | does not | {}          |
      | null      | does not | {}          |
      | ${ true } | holds    | {ran: true} |

  Scenario: A condition that fails is an error of the task
    Given the tasks are:
      """yaml
      - a: {if: '.n | keys', set: {ran: true}}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 400
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      instance: /do/0/a
      """

  Scenario: The step of the outermost list is told
    Given the tasks are:
      """yaml
      - a: {set: {a: 1}}
      - b: {do: [{w: {wait: PT1H}}]}
      - c: {set: {c: 1}}
      """
    When the workflow is started
    Then the workflow should wait
    And the workflow should be at step 2 of 3

  Scenario: An empty list of tasks passes its input on
    Given the tasks are:
      """yaml
      - a: {do: []}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 1
      """
  @long
  Scenario: A loop that goes on and on is stopped
    Given the tasks are:
      """yaml
      - count: {set: {n: '${ .n + 1 }'}}
      - again:
          switch:
            - more: {when: .n > 0, then: count}
      """
    And the workflow input is:
      """yaml
      n: 0
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 500
      type: https://open-workflow-specification.org/spec/1.0.0/errors/runtime
      """

