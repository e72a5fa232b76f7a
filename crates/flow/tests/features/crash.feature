Feature: Crash and resume
  Whatever line the hub dies at, nothing is lost and nothing is done twice but under one key.

  Scenario Outline: A crash <side> commit <n>
    Given POST https://a.test/a answers 200 with:
      """yaml
      a: 1
      """
    And POST https://a.test/b answers 200 with:
      """yaml
      b: 2
      """
    And the tasks are:
      """yaml
      - a: {call: http, with: {method: post, endpoint: 'https://a.test/a'}}
      - e: {emit: {event: {with: {type: line.passed, data: 1}}}}
      - w: {wait: PT5S}
      - b: {call: http, with: {method: post, endpoint: 'https://a.test/b'}}
      - s: {set: {done: '${ .b }'}}
      """
    And the hub crashes <side> commit <n>
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      done: 2
      """
    And the event line.passed should have been published 1 times
    And the workflow should have 5 records
    And the workflow should have taken PT5S
    Examples:
      | side   | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
      | after  | 2 |
      | before | 3 |
      | after  | 3 |
      | before | 4 |
      | after  | 4 |

  Scenario: A call whose end is not known is made again under the same key
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
      """
    And the hub crashes before commit 2
    When the workflow is executed
    Then the workflow should complete
    And there should be 2 calls
    And all calls should carry the same key

  Scenario: A call whose end is recorded is not made again
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
      """
    And the hub crashes after commit 2
    When the workflow is executed
    Then the workflow should complete
    And there should be 1 calls

  Scenario: A call that may be made once only is not made again
    Given POST https://a.test/pay answers 200
    And the tasks are:
      """yaml
      - c:
          call: http
          with: {method: post, endpoint: 'https://a.test/pay'}
          metadata: {trunkline: {idempotency: {mode: at-most-once}}}
      """
    And the hub crashes before commit 2
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/runtime
      instance: /do/0/c
      """
    And there should be 1 calls

  Scenario: That a call was perhaps made can be handled
    Given POST https://a.test/pay answers 200
    And the tasks are:
      """yaml
      - t:
          try:
            - c:
                call: http
                with: {method: post, endpoint: 'https://a.test/pay'}
                metadata: {trunkline: {idempotency: {mode: at-most-once}}}
          catch: {do: [{s: {set: {ask: accounting}}}]}
      """
    And the hub crashes before commit 2
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      ask: accounting
      """

  Scenario: A retry does not make a call again that may be made once only
    Given POST https://a.test/pay breaks off
    And the tasks are:
      """yaml
      - t:
          try:
            - c:
                call: http
                with: {method: post, endpoint: 'https://a.test/pay'}
                metadata: {trunkline: {idempotency: {mode: at-most-once}}}
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 3}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/runtime
      instance: /do/0/t/try/0/c
      """
    And the error detail should contain 'may not be made twice'
    And there should be 1 calls

  Scenario: A timer that came due while the hub was down fires
    Given the tasks are:
      """yaml
      - w: {wait: PT1H}
      - s: {set: {done: true}}
      """
    When the workflow is started
    And the hub crashes
    And PT1H passes
    Then the workflow should complete with output:
      """yaml
      done: true
      """

  Scenario: A wait between attempts outlives a crash
    Given GET https://a.test/ answers 503
    And GET https://a.test/ answers 200
    And the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT1H, limit: {attempt: {count: 3}}}}
      """
    When the workflow is started
    And PT30M passes
    And the hub crashes
    And PT30M passes
    Then the workflow should complete
    And call 2 should come PT1H after call 1

  Scenario: A crash in a loop loses no iteration
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3, 4]'}
          do:
            - c: {call: http, with: {method: post, endpoint: 'https://a.test/', body: '${ $n }'}, output: {as: '${ $input + {last: $n} }'}}
      """
    And the hub crashes after commit 3
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      last: 4
      """
    And there should be 4 calls

  Scenario: A crash in a fork goes on in each branch
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {do: [{w: {wait: PT5S}}, {s: {set: {a: 1}}}]}
              - b: {do: [{w: {wait: PT10S}}, {s: {set: {b: 1}}}]}
      """
    When the workflow is started
    And PT7S passes
    And the hub crashes
    And PT3S passes
    Then the workflow should complete with output:
      """yaml
      [{a: 1}, {b: 1}]
      """

  Scenario: The context outlives a crash
    Given the tasks are:
      """yaml
      - a: {set: {x: 1}, export: {as: '${ {kept: 7} }'}}
      - w: {wait: PT5S}
      - read: {set: '${ $context }'}
      """
    When the workflow is started
    And the hub crashes
    And PT5S passes
    Then the workflow should complete with output:
      """yaml
      kept: 7
      """

  Scenario: Stopping in order is no crash
    Given the tasks are:
      """yaml
      - w: {wait: PT5S}
      """
    When the workflow is started
    And the hub restarts
    And the hub restarts
    And the hub restarts
    And the hub restarts
    And PT5S passes
    Then the workflow should complete
