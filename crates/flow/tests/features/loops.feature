Feature: For
  Iterations are chained; `while`, names of variables, empty lists (rule 9).

  Scenario: The output of an iteration is the input of the next
    Given the tasks are:
      """yaml
      - sum:
          for: {each: n, in: .list}
          do:
            - add: {set: {total: '${ (.total // 0) + $n }'}}
      """
    And the workflow input is:
      """yaml
      list: [1, 2, 3, 4]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      total: 10
      """
    And add should run 4 times

  Scenario: Of an empty list the input is the output
    Given the tasks are:
      """yaml
      - sum:
          for: {in: .list}
          do:
            - add: {set: {x: 1}}
      """
    And the workflow input is:
      """yaml
      list: []
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      list: []
      """

  Scenario: Names by default are item and index
    Given the tasks are:
      """yaml
      - l:
          for: {in: '["a", "b"]'}
          do:
            - s: {set: {seen: '${ (.seen // []) + ["\($index)\($item)"] }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      seen: [0a, 1b]
      """

  Scenario: The index has the name that `at` gives it
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, at: place, in: '[7, 8]'}
          do:
            - s: {set: {last: '${ [$place, $it] }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      last: [1, 8]
      """

  Scenario: While ends the loop early
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3, 4, 5]'}
          while: (.total // 0) < 6
          do:
            - add: {set: {total: '${ (.total // 0) + $n }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      total: 6
      """
    And add should run 3 times

  Scenario: While sees the variables of the loop
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          while: $n < 3 and $index < 5
          do:
            - add: {set: {last: '${ $n }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      last: 2
      """

  Scenario: While that never holds
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          while: 'false'
          do:
            - add: {set: {last: '${ $n }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {}
      """

  Scenario: What is no list is an error
    Given the tasks are:
      """yaml
      - l: {for: {in: .n}, do: [{s: {set: {x: 1}}}]}
      """
    And the workflow input is:
      """yaml
      n: 3
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      instance: /do/0/l
      """

  Scenario: Loops in loops see both variables
    Given the tasks are:
      """yaml
      - outer:
          for: {each: x, at: i, in: '[1, 2]'}
          do:
            - inner:
                for: {each: y, at: j, in: '[10, 20]'}
                do:
                  - s: {set: {all: '${ (.all // []) + [$x * $y] }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      all: [10, 20, 20, 40]
      """

  Scenario: An inner loop's variable hides the outer one's
    Given the tasks are:
      """yaml
      - outer:
          for: {each: x, in: '[1]'}
          do:
            - inner:
                for: {each: x, in: '[2]'}
                do:
                  - s: {set: {x: '${ $x }'}}
            - after: {set: {inner: '${ .x }', outer: '${ $x }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {inner: 2, outer: 1}
      """

  Scenario: A variable of a loop is unknown outside
    Given the tasks are:
      """yaml
      - l: {for: {each: x, in: '[1]'}, do: [{s: {set: {a: 1}}}]}
      - after: {set: {x: '${ $x }'}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 38'

  Scenario: Exit ends one iteration
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          do:
            - odd: {switch: [{yes: {when: $n % 2 == 1, then: exit}}]}
            - add: {set: {even: '${ (.even // []) + [$n] }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      even: [2]
      """
    And odd should run 3 times

  Scenario: Each iteration waits for the one before
    Given the tasks are:
      """yaml
      - l: {for: {in: '[1, 2, 3]'}, do: [{w: {wait: PT10S}}]}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT30S

  Scenario: Each iteration makes its own call
    Given POST https://a.test/it answers 200
    And the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          do: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/it', body: {n: '${ $n }'}}}}]
      """
    When the workflow is executed
    Then the workflow should complete
    And there should be 3 calls
    And all calls should carry different keys
    And call 3 should have body:
      """yaml
      n: 3
      """

  Scenario: An inline list may hold expressions
    Given the tasks are:
      """yaml
      - l:
          for:
            each: it
            in:
              - {n: 1}
              - {n: '${ .start + 1 }'}
          do:
            - s: {set: {start: '${ .start }', all: '${ (.all // []) + [$it.n] }'}}
      """
    And the workflow input is:
      """yaml
      start: 5
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {start: 5, all: [1, 6]}
      """

  Scenario: An error in an iteration names the task
    Given the tasks are:
      """yaml
      - l: {for: {in: '[1, 2]'}, do: [{r: {raise: {error: {type: 'https://a.test/bad', status: 400}}}}]}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      instance: /do/0/l/do/0/r
      """
    And r should run 1 times
