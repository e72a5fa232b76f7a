Feature: Limits
  How often a workflow starts for the same thing, how many run at once, how many start in a time, and which comes first.

  Scenario: Two starts for the same key are one
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {idempotency: {key: '${ .order }'}}}}
      do:
        - s: {set: {order: '${ .order }', n: '${ .n }'}}
      """
    When the workflow is started with:
      """yaml
      {order: o-1, n: 1}
      """
    And the workflow is started with:
      """yaml
      {order: o-1, n: 2}
      """
    Then 1 instances should have been started
    And the workflow should complete with output:
      """yaml
      {order: o-1, n: 1}
      """

  Scenario: Another key is another start
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {idempotency: {key: '${ .order }'}}}}
      do:
        - s: {set: {order: '${ .order }'}}
      """
    When the workflow is started with:
      """yaml
      {order: o-1}
      """
    And the workflow is started with:
      """yaml
      {order: o-2}
      """
    Then 2 instances should have completed

  Scenario: A key that is null makes nothing the same
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {idempotency: {key: '${ .order }'}}}}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is started with:
      """yaml
      {}
      """
    And the workflow is started with:
      """yaml
      {}
      """
    Then 2 instances should have completed

  Scenario: Two events for the same key start one
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {idempotency: {key: '${ .[0].order }'}}}}
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - s: {set: {n: '${ .[0].n }'}}
        - w: {wait: PT1S}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: order.made, data: {order: o-1, n: 1}}
      - {type: order.made, data: {order: o-1, n: 2}}
      - {type: order.made, data: {order: o-2, n: 3}}
      """
    Then 2 instances should have been started

  Scenario: The mode of a call has no place in the document
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {idempotency: {mode: at-most-once}}}}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 39'

  Scenario: One at once, the others in the order of their start
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    Then 3 instances should wait
    When PT10S passes
    Then 1 instances should have completed
    And the event was.done should have the attributes:
      """yaml
      data: {n: 1}
      """
    When PT10S passes
    Then 2 instances should have completed
    And the event was.done should have the attributes:
      """yaml
      data: {n: 2}
      """
    When PT10S passes
    Then 3 instances should have completed

  Scenario: Several at once
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 2}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    And PT10S passes
    Then 2 instances should have completed
    When PT10S passes
    Then 3 instances should have completed

  Scenario: Each key has places of its own, and none has no limit
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {key: '${ .doc }'}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1, doc: a}
      """
    And the workflow is started with:
      """yaml
      {n: 2, doc: a}
      """
    And the workflow is started with:
      """yaml
      {n: 3, doc: b}
      """
    And the workflow is started with:
      """yaml
      {n: 4}
      """
    And the workflow is started with:
      """yaml
      {n: 5}
      """
    And PT10S passes
    Then 4 instances should have completed
    When PT10S passes
    Then 5 instances should have completed

  Scenario: A start too many is left out
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {key: '${ .doc }', limit: 1, policy: skip}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1, doc: a}
      """
    And the workflow is started with:
      """yaml
      {n: 2, doc: a}
      """
    Then the workflow should be cancelled because of skipped
    When PT10S passes
    Then 1 instances should have completed

  Scenario: A start too many fails
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1, policy: fail}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    Then the workflow should fault with error:
      """yaml
      {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/runtime', status: 429}
      """

  Scenario: A newer one takes the place of what runs
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {key: '${ .doc }', limit: 1, policy: cancel-running}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1, doc: a}
      """
    And the workflow is started with:
      """yaml
      {n: 2, doc: b}
      """
    And the workflow is started with:
      """yaml
      {n: 3, doc: a}
      """
    Then 1 instances should have been cancelled
    When PT10S passes
    Then 2 instances should have completed
    And the event was.done should have been published 2 times

  Scenario: Of several newer ones the last one stays
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1, policy: cancel-running}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    And the workflow is started with:
      """yaml
      {n: 4}
      """
    And the workflow runs on
    Then 3 instances should have been cancelled
    And the workflow should complete with output:
      """yaml
      {n: 4}
      """

  Scenario Outline: A place is free again when its workflow <ends>
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1}}}}
      do:
        - w: {wait: PT10S}
        - r: {if: .n == 1, raise: {error: {type: 'https://a.test/bad', status: 500}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: <n>}
      """
    And <what>
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    And the workflow runs on
    Then the workflow should complete with output:
      """yaml
      {n: 3}
      """
    Examples:
      | ends          | n | what                      |
      | completes     | 2 | PT10S passes              |
      | faults        | 1 | PT10S passes              |
      | is cancelled  | 2 | the workflow is cancelled |

  Scenario: One that waits for a place can be cancelled, and the next one gets it
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the workflow is cancelled
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    And PT10S passes
    Then 1 instances should have completed
    And 1 instances should have been cancelled
    When the workflow runs on
    Then the workflow should complete with output:
      """yaml
      {n: 3}
      """

  Scenario Outline: Waiting for a place survives <what>
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the hub <what>
    And PT10S passes
    Then 1 instances should have completed
    When the hub <what>
    And PT10S passes
    Then 2 instances should have completed
    Examples:
      | what     |
      | crashes  |
      | restarts |

  Scenario Outline: A crash <point> commit <n> lets nobody in twice
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {limit: 1}}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
        - s: {set: {n: '${ $workflow.input.n }'}}
      """
    And the hub crashes <point> commit <n>
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And PT10S passes
    Then 1 instances should have completed
    When PT10S passes
    Then 2 instances should have completed
    Examples:
      | point  | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
      | after  | 2 |

  Scenario: The urgent come before the others
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {}, priority: '${ .how }'}}}
      do:
        - w: {wait: PT10S}
        - e: {emit: {event: {with: {type: was.done, data: '${ $workflow.input }'}}}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2, how: low}
      """
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    And the workflow is started with:
      """yaml
      {n: 4, how: high}
      """
    And PT20S passes
    Then the event was.done should have the attributes:
      """yaml
      data: {n: 4, how: high}
      """
    When PT10S passes
    Then the event was.done should have the attributes:
      """yaml
      data: {n: 3}
      """
    When PT10S passes
    Then 4 instances should have completed
    And the event was.done should have the attributes:
      """yaml
      data: {n: 2, how: low}
      """

  Scenario: Tasks with the same key share a limit, and the urgent come first
    Given the tasks are:
      """yaml
      - f:
          fork:
            branches:
            - first: {do: [{x: {metadata: {trunkline: {concurrency: {key: lab}, priority: 9}}, wait: PT10S}}]}
            - low: {do: [{x: {metadata: {trunkline: {concurrency: {key: lab}, priority: low}}, call: http, with: {method: post, endpoint: 'http://a.test/low'}}}]}
            - high: {do: [{x: {metadata: {trunkline: {concurrency: {key: lab}, priority: high}}, call: http, with: {method: post, endpoint: 'http://a.test/high'}}}]}
            - other: {do: [{x: {metadata: {trunkline: {concurrency: {key: other}}}, call: http, with: {method: post, endpoint: 'http://a.test/other'}}}]}
      """
    And post http://a.test/low answers 200
    And post http://a.test/high answers 200
    And post http://a.test/other answers 200
    When the workflow is started
    Then there should be 1 calls
    When the workflow runs on
    Then call 1 should go to POST http://a.test/other
    And call 2 should go to POST http://a.test/high
    And call 3 should go to POST http://a.test/low
    And the workflow should have taken PT10S

  Scenario: A loop of calls keeps to a rate
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, in: '[1, 2, 3, 4, 5]'}
          do:
            - c:
                metadata: {trunkline: {rateLimit: {key: lab, limit: 2, per: PT1M}}}
                call: http
                with: {method: post, endpoint: 'http://a.test/lab', body: {n: '${ $it }'}}
      """
    And post http://a.test/lab answers 200
    When the workflow is executed
    Then the workflow should complete
    And there should be 5 calls
    And call 2 should come PT0S after call 1
    And call 3 should come PT1M after call 1
    And call 5 should come PT2M after call 1

  Scenario: A rate survives a crash
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, in: '[1, 2, 3]'}
          do:
            - c:
                metadata: {trunkline: {rateLimit: {limit: 1, per: PT1M}}}
                call: http
                with: {method: post, endpoint: 'http://a.test/lab'}
      """
    And post http://a.test/lab answers 200
    When the workflow is started
    And the hub crashes
    And the workflow runs on
    Then the workflow should complete
    And there should be 3 calls
    And call 3 should come PT2M after call 1

  Scenario: So many start in a time
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {rateLimit: {limit: 2, per: PT1H}}}}
      do:
        - s: {set: {n: '${ .n }'}}
      """
    When the workflow is started with:
      """yaml
      {n: 1}
      """
    And the workflow is started with:
      """yaml
      {n: 2}
      """
    And the workflow is started with:
      """yaml
      {n: 3}
      """
    Then 2 instances should have completed
    When PT59M passes
    Then 2 instances should have completed
    When PT1M passes
    Then 3 instances should have completed

  Scenario: A call too many in a time is skipped where that is asked for
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, in: '[1, 2, 3]'}
          do:
            - c:
                metadata: {trunkline: {rateLimit: {limit: 1, per: PT1M, policy: skip}}}
                call: http
                with: {method: post, endpoint: 'http://a.test/lab'}
      """
    And post http://a.test/lab answers 200
    When the workflow is executed
    Then the workflow should complete
    And there should be 1 calls

  Scenario: A call too many in a time can be caught
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, in: '[1, 2]'}
          do:
            - t:
                try:
                - c:
                    metadata: {trunkline: {rateLimit: {limit: 1, per: PT1M, policy: fail}}}
                    call: http
                    with: {method: post, endpoint: 'http://a.test/lab'}
                catch: {as: error, do: [{s: {set: {status: '${ $error.status }'}}}]}
      """
    And post http://a.test/lab answers 200
    When the workflow is executed
    Then there should be 1 calls
    And the workflow should complete with output:
      """yaml
      {status: 429}
      """

  Scenario: A wait for a place counts for the timeout of the task
    Given the tasks are:
      """yaml
      - f:
          fork:
            branches:
            - a: {do: [{x: {metadata: {trunkline: {concurrency: {key: k}}}, wait: PT1M}}]}
            - b: {do: [{x: {metadata: {trunkline: {concurrency: {key: k}}}, timeout: {after: PT5S}, wait: PT1S}}]}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/timeout', status: 408}
      """
    And the workflow should have taken PT5S
