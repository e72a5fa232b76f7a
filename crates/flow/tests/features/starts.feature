Feature: Starts by events
  `schedule.on`: what starts, with what, and that nothing is started twice.

  Scenario: An event starts an instance
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - s: {set: {got: '${ .[0].n }'}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: order.made, data: {n: 4}}
      """
    Then the workflow should complete with output:
      """yaml
      got: 4
      """
    And 1 instances should have been started

  Scenario: Each event starts one
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - s: {set: {got: '${ .[0].n }'}}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: order.made, data: {n: 1}}
      - {type: order.paid, data: {n: 2}}
      - {type: order.made, data: {n: 3}}
      """
    Then 2 instances should have completed

  Scenario: The same event again starts nothing
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - s: {set: {got: '${ .[0].n }'}}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: order.made, id: e-17, data: {n: 1}}
      - {type: order.made, id: e-17, data: {n: 2}}
      - {type: order.made, id: e-18, data: {n: 3}}
      """
    Then 2 instances should have completed

  Scenario: Any of several events starts
    Given the tasks are:
      """yaml
      schedule: {on: {any: [{with: {type: a.made}}, {with: {type: b.made}}]}}
      do:
        - s: {set: {got: '${ .[0] }'}}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: a.made, data: 1}
      - {type: b.made, data: 2}
      - {type: c.made, data: 3}
      """
    Then 2 instances should have completed

  Scenario: A filter decides what starts
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made, subject: 'vip-.*'}}}}
      do:
        - s: {set: {got: '${ .[0] }'}}
      """
    When the workflow is published
    And events arrive:
      """yaml
      - {type: order.made, subject: vip-1, data: 1}
      - {type: order.made, subject: plain-1, data: 2}
      """
    Then 1 instances should have been started

  Scenario: The whole event is the input where that is asked for
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}, read: envelope}
      do:
        - s: {set: {subject: '${ .[0].subject }', n: '${ .[0].data.n }'}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: order.made, subject: o1, data: {n: 4}}
      """
    Then the workflow should complete with output:
      """yaml
      {subject: o1, n: 4}
      """

  Scenario: What came before the definition starts nothing
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - s: {set: {got: '${ .[0].n }'}}
      """
    When an event arrives:
      """yaml
      {type: order.made, data: {n: 1}}
      """
    And PT1S passes
    And the workflow is published
    And an event arrives:
      """yaml
      {type: order.made, data: {n: 2}}
      """
    Then 1 instances should have been started
    And the workflow should complete with output:
      """yaml
      got: 2
      """

  Scenario: A crash between event and instance loses neither
    Given the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - w: {wait: PT5S}
        - s: {set: {done: true}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: order.made, data: {n: 1}}
      """
    And the hub crashes
    And PT5S passes
    Then 1 instances should have completed

  Scenario: A workflow that is started by events may start others by emitting
    Given another workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: second, version: '1.0.0'}
      schedule: {on: {one: {with: {type: order.accepted}}}}
      do:
        - e: {emit: {event: {with: {type: order.shipped, data: '${ .[0] }'}}}}
      """
    And the tasks are:
      """yaml
      schedule: {on: {one: {with: {type: order.made}}}}
      do:
        - e: {emit: {event: {with: {type: order.accepted, data: '${ .[0] }'}}}}
      """
    When the workflow is published
    And an event arrives:
      """yaml
      {type: order.made, data: {n: 1}}
      """
    Then 2 instances should have completed
    And the event order.shipped should have been published 1 times
    And the event order.shipped should have the attributes:
      """yaml
      data: {n: 1}
      """

  Scenario Outline: A schedule with <what> is refused
    Given the tasks are:
      """yaml
      schedule: <schedule>
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | what                   | schedule                               | why     |
      | two triggers           | {every: PT1M, cron: '* * * * *'}       | rule 30 |
      | no trigger             | {}                                     | schedule |
      | an interval of nothing | {every: PT0S}                          | rule 30 |
      | a bad cron             | {cron: '61 * * * *'}                   | rule 19 |
      | a cron with seconds    | {cron: '0 0 * * * *'}                  | rule 19 |
