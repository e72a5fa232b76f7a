Feature: Fork
  Branches side by side: outputs in declared order, contexts merged, races with one winner (rules 1 to 3).

  Scenario: Outputs come in the order of the branches
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - slow:
                  do:
                    - w: {wait: PT5S}
                    - s: {set: {who: slow}}
              - fast: {set: {who: fast}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      - {who: slow}
      - {who: fast}
      """
    And the workflow should have taken PT5S

  Scenario: Each branch gets the input of the fork
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {set: '${ .n + 1 }'}
              - b: {set: '${ .n * 10 }'}
      """
    And the workflow input is:
      """yaml
      n: 4
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [5, 40]
      """

  Scenario: The input of the fork is transformed before it reaches the branches
    Given the tasks are:
      """yaml
      - both:
          input: {from: .inner}
          fork:
            branches:
              - a: {set: '${ . }'}
              - b: {set: '${ . + 1 }'}
      """
    And the workflow input is:
      """yaml
      inner: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [1, 2]
      """

  Scenario: A fork without branches gives an empty list
    Given the tasks are:
      """yaml
      - none: {fork: {branches: []}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      []
      """

  Scenario: Branches wait at the same time
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {wait: PT10S}
              - b: {wait: PT20S}
              - c: {wait: PT15S}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT20S

  Scenario: The winner of a race gives the output
    Given the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - slow:
                  do:
                    - w1: {wait: PT9S}
                    - s1: {set: {who: slow}}
              - fast:
                  do:
                    - w2: {wait: PT3S}
                    - s2: {set: {who: fast}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      who: fast
      """
    And the workflow should have taken PT3S
    And slow should cancel
    And s1 should not run

  Scenario: A race cancels the timers of the losers
    Given the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - slow: {wait: P1D}
              - fast: {wait: PT1S}
      - after: {wait: PT2S}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT3S

  Scenario: A race abandons the calls of the losers
    Given GET https://a.test/slow never answers
    And GET https://a.test/fast answers 200 with:
      """yaml
      who: fast
      """
    And the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - slow: {call: http, with: {method: get, endpoint: 'https://a.test/slow'}}
              - fast: {call: http, with: {method: get, endpoint: 'https://a.test/fast'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      who: fast
      """
    And slow should cancel

  Scenario: A race against an event is won by the clock
    Given the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - event: {listen: {to: {one: {with: {type: order.paid}}}}}
              - clock:
                  do:
                    - w: {wait: PT1H}
                    - s: {set: {late: true}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      late: true
      """
    And event should cancel

  Scenario: A race against an event is won by the event
    Given the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - event: {listen: {to: {one: {with: {type: order.paid}}}}}
              - clock: {wait: PT1H}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.paid, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      [{n: 1}]
      """
    And clock should cancel

  Scenario: A race without branches is refused
    Given the tasks are:
      """yaml
      - race: {fork: {compete: true, branches: []}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 2'

  Scenario: An error in one branch ends the others
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - waits: {wait: P1D}
              - fails:
                  do:
                    - w: {wait: PT1S}
                    - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://a.test/bad
      instance: /do/0/both/fork/branches/1/fails/do/1/r
      """
    And the workflow should have taken PT1S
    And waits should cancel

  Scenario: An error in a branch is caught around the fork
    Given the tasks are:
      """yaml
      - t:
          try:
            - both:
                fork:
                  branches:
                    - waits: {wait: P1D}
                    - fails: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
          catch:
            do:
              - s: {set: {caught: '${ $error.status }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      caught: 500
      """

  Scenario: An error caught inside a branch leaves the others alone
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a:
                  try:
                    - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
                  catch:
                    do: [{s: {set: {a: caught}}}]
              - b: {set: {b: fine}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      - {a: caught}
      - {b: fine}
      """

  Scenario: Branches do not see each other's context
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a:
                  do:
                    - set: {set: {x: 1}, export: {as: '${ $context + {a: 1} }'}}
                    - w: {wait: PT2S}
                    - read: {set: {sees: '${ $context | keys }'}}
              - b:
                  do:
                    - set2: {set: {x: 2}, export: {as: '${ $context + {b: 2} }'}}
                    - w2: {wait: PT1S}
                    - read2: {set: {sees: '${ $context | keys }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      - {sees: [a]}
      - {sees: [b]}
      """

  Scenario: Contexts are merged in declared order at the join
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - slow:
                  do:
                    - w: {wait: PT5S}
                    - s: {set: {x: 1}, export: {as: '${ $context + {who: "slow", a: 1} }'}}
              - fast: {set: {x: 1}, export: {as: '${ $context + {who: "fast", b: 2} }'}}
      - read: {set: '${ $context }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {who: fast, a: 1, b: 2}
      """

  Scenario: Only the winner's context counts after a race
    Given the tasks are:
      """yaml
      - race:
          fork:
            compete: true
            branches:
              - slow:
                  do:
                    - s: {set: {x: 1}, export: {as: '${ $context + {slow: 1} }'}}
                    - w: {wait: PT5S}
              - fast:
                  do:
                    - s: {set: {x: 1}, export: {as: '${ $context + {fast: 1} }'}}
                    - w: {wait: PT1S}
      - read: {set: '${ $context }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      fast: 1
      """

  Scenario: Forks in forks
    Given the tasks are:
      """yaml
      - outer:
          fork:
            branches:
              - left:
                  fork:
                    branches:
                      - a: {set: 1}
                      - b: {set: 2}
              - right: {set: 3}
          output: {as: '${ flatten }'}
      """
    When the workflow is published
    Then the definition should be refused because of 'set'

  Scenario: A fork in a fork gives a list in a list
    Given the tasks are:
      """yaml
      - outer:
          fork:
            branches:
              - left:
                  fork:
                    branches:
                      - a: {set: '${ 1 }'}
                      - b: {set: '${ 2 }'}
              - right: {set: '${ 3 }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [[1, 2], 3]
      """

  Scenario: The end of the workflow inside a branch ends everything
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a:
                  do:
                    - s: {set: {ended: true}, then: end}
              - b: {wait: P1D}
      - never: {set: {ended: false}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      ended: true
      """
    And never should not run

  Scenario: A branch that jumps is refused
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {set: {x: 1}, then: b}
              - b: {set: {x: 2}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 11'

  Scenario: A branch that gave null has ended, also when the workflow leaves memory
    Given the tasks are:
      """yaml
      - f:
          fork:
            branches:
            - a: {call: http, with: {method: post, endpoint: 'http://a.test/a'}}
            - b: {do: [{w: {wait: PT1H}}, {s: {set: {b: 1}}}]}
      """
    And post http://a.test/a answers 204
    When the workflow is started
    And the hub crashes
    And the workflow runs on
    Then the workflow should complete with output:
      """yaml
      - null
      - {b: 1}
      """
