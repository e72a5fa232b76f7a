Feature: Retry
  Attempts, waits between them, limits (rules 6 to 8). Time is virtual, so waits are exact.

  Background:
    Given POST https://a.test/ answers 503
    And POST https://a.test/ answers 503
    And POST https://a.test/ answers 503
    And POST https://a.test/ answers 200 with:
      """yaml
      fine: true
      """

  Scenario Outline: Waits grow <how>
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT2S, backoff: {<how>: {}}, limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      fine: true
      """
    And there should be 4 calls
    And call 2 should come <first> after call 1
    And call 3 should come <second> after call 2
    And call 4 should come <third> after call 3
    And all calls should carry the same key
    Examples:
      | how         | first | second | third |
      | constant    | PT2S  | PT2S   | PT2S  |
      | linear      | PT2S  | PT4S   | PT6S  |
      | exponential | PT2S  | PT4S   | PT8S  |

  Scenario: Without backoff waits stay the same
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: {seconds: 3}, limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT9S

  Scenario: Without delay there is no wait
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT0S
    And there should be 4 calls

  Scenario Outline: A count of <count> makes <calls> calls
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT1S, limit: {attempt: {count: <count>}}}}
      """
    When the workflow is executed
    Then <sentence>
    And there should be <calls> calls
    Examples:
      | count | calls | sentence                     |
      | 0     | 1     | the workflow should fault    |
      | 1     | 2     | the workflow should fault    |
      | 2     | 3     | the workflow should fault    |
      | 3     | 4     | the workflow should complete |

  Scenario: The last error is raised when no retry is left
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 503
      instance: /do/0/t/try/0/c
      """
    And the workflow should have taken PT1S

  Scenario: The handler runs when no retry is left
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch:
            retry: {delay: PT1S, limit: {attempt: {count: 2}}}
            do: [{h: {set: {gave: up}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      gave: up
      """
    And h should run 1 times
    And there should be 3 calls

  Scenario: The handler does not run when a retry helps
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch:
            retry: {delay: PT1S, limit: {attempt: {count: 9}}}
            do: [{h: {set: {gave: up}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      fine: true
      """
    And h should not run

  Scenario: The limit of all attempts together
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT4S, limit: {duration: PT10S}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 503
      """
    And there should be 3 calls

  Scenario: The limit of one attempt
    Given GET https://a.test/slow never answers
    And the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'https://a.test/slow'}}}]
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 2, duration: PT5S}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/timeout
      status: 408
      """
    And there should be 3 calls
    And call 2 should come PT6S after call 1
    And the workflow should have taken PT17S

  Scenario: An attempt that takes too long may be followed by one that does not
    Given GET https://a.test/slow never answers
    And GET https://a.test/slow answers 200 with:
      """yaml
      fine: true
      """
    And the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'https://a.test/slow'}}}]
          catch: {retry: {limit: {attempt: {count: 2, duration: PT5S}}}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      fine: true
      """
    And the workflow should have taken PT5S

  Scenario Outline: Retry <key> <condition>
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {<key>: '<condition>', limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then there should be <calls> calls
    Examples:
      | key        | condition            | calls |
      | when       | $error.status == 503 | 4     |
      | when       | $error.status == 500 | 1     |
      | exceptWhen | $error.status == 503 | 1     |
      | exceptWhen | $error.status == 500 | 4     |

  Scenario: An error that the catch does not want is not retried
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {errors: {with: {status: 500}}, retry: {limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And there should be 1 calls

  Scenario Outline: Jitter lies within its bounds (<seed>)
    Given the tasks are:
      """yaml
      - t:
          try: [{<seed>: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT1S, jitter: {from: PT1S, to: PT3S}, limit: {attempt: {count: 5}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And call 2 should come between PT2S and PT4S after call 1
    And call 3 should come between PT2S and PT4S after call 2
    And call 4 should come between PT2S and PT4S after call 3
    Examples:
      | seed |
      | a    |
      | b    |
      | c    |
      | d    |
      | e    |

  Scenario: A reusable policy is used by its name
    Given the tasks are:
      """yaml
      use:
        retries:
          patient: {delay: PT2S, backoff: {linear: {}}, limit: {attempt: {count: 9}}}
      do:
        - t:
            try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
            catch: {retry: patient}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT12S

  Scenario: A policy that is not defined is refused
    Given the tasks are:
      """yaml
      - t:
          try: [{s: {set: {a: 1}}}]
          catch: {retry: patient}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 25'

  Scenario: A policy without limits is warned of
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: PT1S}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the definition should be warned of because of 'rule 7'

  Scenario: The delay may be an expression
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}}]
          catch: {retry: {delay: '${ .wait }', limit: {attempt: {count: 9}}}}
      """
    And the workflow input is:
      """yaml
      wait: PT7S
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT21S

  Scenario: A retry does all tasks of the try again
    Given the tasks are:
      """yaml
      - t:
          try:
            - first: {set: {n: 1}}
            - c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
          catch: {retry: {limit: {attempt: {count: 9}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And first should run 4 times
    And c should run 4 times

  Scenario: A call that breaks off is retried
    Given GET https://a.test/broken breaks off
    And GET https://a.test/broken answers 200
    And the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'https://a.test/broken'}}}]
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And there should be 2 calls

  Scenario: Retries inside a loop begin anew in each iteration
    Given POST https://b.test/ answers 500
    And the tasks are:
      """yaml
      - l:
          for: {in: '[1, 2]'}
          do:
            - t:
                try: [{c: {call: http, with: {method: post, endpoint: 'https://b.test/'}}}]
                catch:
                  retry: {delay: PT1S, limit: {attempt: {count: 2}}}
                  do: [{s: {set: {gave: up}}}]
      """
    When the workflow is executed
    Then the workflow should complete
    And there should be 6 calls
    And the workflow should have taken PT4S
