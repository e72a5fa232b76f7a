Feature: Functions
  `use.functions`: arguments, output, errors, keys (rules 25 and 34).

  Scenario: A function gets its arguments as input
    Given the tasks are:
      """yaml
      use:
        functions:
          double: {set: {doubled: '${ .n * 2 }'}}
      do:
        - f: {call: double, with: {n: '${ .amount }'}}
      """
    And the workflow input is:
      """yaml
      amount: 4
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      doubled: 8
      """

  Scenario: A function may be a list of tasks
    Given the tasks are:
      """yaml
      use:
        functions:
          twice:
            do:
              - a: {set: {n: '${ .n + 1 }'}}
              - b: {set: {n: '${ .n * 10 }'}}
      do:
        - f: {call: twice, with: {n: 1}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 20
      """

  Scenario: A function may call another
    Given the tasks are:
      """yaml
      use:
        functions:
          inner: {set: {n: '${ .n + 1 }'}}
          outer: {do: [{i: {call: inner, with: {n: '${ .n * 2 }'}}}]}
      do:
        - f: {call: outer, with: {n: 5}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 11
      """

  Scenario: A function that calls itself is refused
    Given the tasks are:
      """yaml
      use:
        functions:
          a: {do: [{x: {call: b}}]}
          b: {do: [{y: {call: a}}]}
      do:
        - f: {call: a}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 34'

  Scenario: A function that is not there is refused
    Given the tasks are:
      """yaml
      - f: {call: nobody}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 25'

  Scenario: An error in a function names the place in the function
    Given the tasks are:
      """yaml
      use:
        functions:
          bad: {raise: {error: {type: 'https://a.test/bad', status: 400}}}
      do:
        - f: {call: bad}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://a.test/bad
      instance: /use/functions/bad
      """

  Scenario: A function does not see the variables of its caller's loop
    Given the tasks are:
      """yaml
      use:
        functions:
          peek: {set: {sees: '${ $item }'}}
      do:
        - l: {for: {in: '[1]'}, do: [{f: {call: peek}}]}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 38'

  Scenario: Two calls of one function make calls with different keys
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      use:
        functions:
          send: {call: http, with: {method: post, endpoint: 'https://a.test/', body: '${ .n }'}}
      do:
        - f: {call: send, with: {n: 1}}
        - g: {call: send, with: {n: 2}}
      """
    When the workflow is executed
    Then the workflow should complete
    And there should be 2 calls
    And all calls should carry different keys

  Scenario: A function that is nowhere called is compiled all the same
    Given the tasks are:
      """yaml
      use:
        functions:
          broken: {set: {n: '${ .n + }'}}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of /use/functions/broken
