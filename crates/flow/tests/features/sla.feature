Feature: Promises about time
  `sla` of workflows and tasks: warnings, breaches, what they do, calendars, and the report.

  Scenario: A workflow in time keeps its promise
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H, warnAt: 80%}}}}
      do:
        - w: {wait: PT40M}
        - s: {set: {a: 1}}
      """
    When the workflow is started
    Then the workflow should be within of its time
    And the promises of workflow should be:
      """yaml
      {within: 1}
      """
    When the workflow runs on
    Then the workflow should complete
    And the workflow should be within of its time
    And the promises of workflow should be:
      """yaml
      {met: 1}
      """
    And the event workflow.sla.warned should not have been published
    And the event workflow.sla.breached should not have been published

  Scenario: It is warned of, then broken
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H, warnAt: 80%}}}}
      do:
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    When the workflow is started
    And PT47M passes
    Then the workflow should be within of its time
    When PT1M passes
    Then the workflow should be warned of its time
    And the event workflow.sla.warned should have been published 1 times
    And the event workflow.sla.breached should not have been published
    When PT12M passes
    Then the workflow should be breached of its time
    And the workflow should wait
    And the event workflow.sla.breached should have been published 1 times
    And the promises of workflow should be:
      """yaml
      {breached: 1}
      """
    When the workflow is cancelled
    Then the promises of workflow should be:
      """yaml
      {missed: 1}
      """

  Scenario: One that fails in time has neither kept nor broken its promise
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H}}}}
      do:
        - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And the promises of workflow should be:
      """yaml
      {}
      """

  Scenario: A broken promise cancels where that is asked for
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H, onBreach: cancel}}}}
      do:
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    When the workflow is executed
    Then the workflow should be cancelled because of promised
    And the workflow should be breached of its time
    And the workflow should have taken PT1H

  Scenario: The time of a promise may come with the input
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {due: '${ .by }', warnAt: 50%}}}}
      do:
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    And the start of time is 2027-01-04T08:00:00Z
    When the workflow is started with:
      """yaml
      {by: '2027-01-04T10:00:00Z'}
      """
    And PT1H passes
    Then the workflow should be warned of its time
    When PT1H passes
    Then the workflow should be breached of its time

  Scenario: Without a time in the input nothing is promised
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {due: '${ .by }'}}}}
      do:
        - w: {wait: P1D}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should be free of its time

  Scenario: What is no time is an error
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {due: '${ .by }'}}}}
      do:
        - w: {wait: P1D}
      """
    When the workflow is started with:
      """yaml
      {by: soon}
      """
    Then the workflow should fault with error:
      """yaml
      {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/expression'}
      """

  Scenario: Only working hours count
    Given a workflow with definition:
      """yaml
      document:
        dsl: '1.0.3'
        namespace: suite
        name: it
        version: '1.0.0'
        metadata:
          trunkline:
            sla:
              duration: PT4H
              warnAt: 50%
              calendar: {timezone: Europe/Berlin, hours: {mon-fri: '09:00-17:00'}, holidays: ['2027-01-18']}
      do:
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    # A Friday; Berlin is an hour ahead, and Monday is a holiday.
    And the start of time is 2027-01-15T14:00:00Z
    When the workflow is started
    And PT1H59M passes
    Then the workflow should be within of its time
    When PT1M passes
    Then the workflow should be warned of its time
    When P3D passes
    Then the workflow should be warned of its time
    When PT18H passes
    Then the workflow should be breached of its time

  Scenario: A task has a promise of its own
    Given the tasks are:
      """yaml
      - c:
          metadata: {trunkline: {sla: {duration: PT1M}}}
          do:
          - w: {wait: PT2M}
      - s: {set: {a: 1}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event workflow.sla.breached should have been published 1 times
    And the event workflow.sla.breached should have the attributes:
      """yaml
      source: /workflows/suite/it
      """
    And the promises of task should be:
      """yaml
      {missed: 1}
      """
    And the workflow should be free of its time

  Scenario: A task of people is escalated when its promise is broken
    Given the tasks are:
      """yaml
      - sign:
          metadata: {trunkline: {sla: {duration: PT1H, onBreach: escalate}}}
          call: approval:1@default
          with: {groups: [doctors], escalate: {after: P9D, to: [head]}}
      """
    When the workflow is started
    And PT59M passes
    Then the event task.escalated should not have been published
    When PT1M passes
    Then the event task.escalated should have been published 1 times
    When P9D passes
    Then the event task.escalated should have been published 1 times

  Scenario: A workflow's promise escalates every task of people that waits
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H, onBreach: escalate}}}}
      do:
        - f:
            fork:
              branches:
              - a: {call: 'approval:1@default', with: {groups: [x], escalate: {after: P9D, to: [head]}}}
              - b: {call: 'approval:1@default', with: {groups: [x], escalate: {after: P9D, to: [head]}}}
              - c: {call: 'approval:1@default', with: {groups: [x]}}
      """
    When the workflow is started
    And PT1H passes
    Then the event task.escalated should have been published 2 times

  Scenario Outline: A promise survives <what>
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H, warnAt: 50%}}}}
      do:
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    When the workflow is started
    And the hub <what>
    And PT30M passes
    And the hub <what>
    And PT30M passes
    Then the workflow should be breached of its time
    And the event workflow.sla.warned should have been published 1 times
    And the event workflow.sla.breached should have been published 1 times
    Examples:
      | what     |
      | crashes  |
      | restarts |

  Scenario: A promise is heard of while the workflow is held
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1H}}}}
      do:
        - w: {wait: PT30M}
        - s: {set: {a: 1}}
      """
    When the workflow is started
    And the workflow is suspended
    And PT1H passes
    Then the workflow should be suspended
    And the workflow should be breached of its time
    When the workflow is resumed
    Then the workflow should complete
    And the promises of workflow should be:
      """yaml
      {missed: 1}
      """

  Scenario: Waiting for a place counts
    Given a workflow with definition:
      """yaml
      document:
        {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: {duration: PT1M}, concurrency: {}}}}
      do:
        - w: {wait: PT50S}
      """
    When the workflow is started
    And the workflow is started
    And the workflow runs on
    Then the promises of workflow should be:
      """yaml
      {met: 1, missed: 1}
      """

  Scenario Outline: An SLA with <what> is refused
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {sla: <sla>}}}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 39'
    Examples:
      | what             | sla                                                   |
      | no time          | {warnAt: 80%}                                         |
      | an unknown word  | {duration: PT1H, breach: PT2H}                        |
      | no percents      | {duration: PT1H, warnAt: 0.8}                         |
      | a foreign zone   | {duration: PT1H, calendar: {timezone: X, hours: {mon: '09:00-10:00'}}} |
