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
