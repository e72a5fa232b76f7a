Feature: Schedules
  Workflows that time starts.

  Scenario: Every quarter of an hour
    Given the tasks are:
      """yaml
      schedule: {every: PT15M}
      do:
        - s: {set: {n: 1}}
      """
    When the workflow is published
    And PT14M passes
    Then 0 instances should have been started
    When PT1M passes
    Then 1 instances should have completed
    When PT45M passes
    Then 4 instances should have completed

  Scenario: By the clock of a time zone
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {schedule: {timezone: Europe/Berlin}}}}
      schedule: {cron: '0 7 * * mon-fri'}
      do:
        - s: {set: {n: 1}}
      """
    # A Friday, six in the morning in Berlin.
    And the start of time is 2027-01-15T05:00:00Z
    When the workflow is published
    And PT59M passes
    Then 0 instances should have been started
    When PT1M passes
    Then 1 instances should have completed
    When P2DT23H passes
    Then 1 instances should have completed
    When PT1H passes
    Then 2 instances should have completed

  Scenario: So long after the last one has ended
    Given the tasks are:
      """yaml
      schedule: {after: PT10M}
      do:
        - w: {wait: PT5M}
      """
    When the workflow is published
    And PT1S passes
    Then 1 instances should have been started
    When PT14M passes
    Then 1 instances should have been started
    When PT2M passes
    Then 2 instances should have been started

  Scenario Outline: While one runs, <overlap> means <n> starts in half an hour
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {schedule: {overlap: <overlap>}}}}
      schedule: {every: PT10M}
      do:
        - w: {wait: PT15M}
      """
    When the workflow is published
    And PT31M passes
    Then <n> instances should have been started
    Examples:
      | overlap | n |
      | allow   | 3 |
      | skip    | 2 |
      | queue   | 2 |

  Scenario: A limit holds for what time starts, too
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {policy: skip}}}}
      schedule: {every: PT10M}
      do:
        - w: {wait: PT15M}
      """
    When the workflow is published
    And PT31M passes
    Then 3 instances should have been started
    And 1 instances should have been cancelled

  Scenario Outline: A time is started for once when the hub <what>
    Given the tasks are:
      """yaml
      schedule: {every: PT10M}
      do:
        - s: {set: {n: 1}}
      """
    When the workflow is published
    And PT10M passes
    And the hub <what>
    And PT10M passes
    Then 2 instances should have completed
    Examples:
      | what     |
      | crashes  |
      | restarts |
