Feature: Approvals
  Tasks of people: who may decide, how many must, what happens in between and when nobody does.

  Scenario: A member of the group approves
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors]}}
      - s: {set: {how: '${ .outcome }', by: '${ .by }'}}
      """
    When the workflow is started
    Then the workflow should wait
    And the event task.created should have been published 1 times
    When ann of doctors approves sign
    Then the workflow should complete with output:
      """yaml
      {how: approved, by: ann}
      """
    And the event task.completed should have been published 1 times

  Scenario: One rejection decides
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], quorum: 2}}
      - s: {set: {how: '${ .outcome }'}}
      """
    When the workflow is started
    And ann of doctors approves sign
    Then the workflow should wait
    When bob of doctors rejects sign
    Then the workflow should complete with output:
      """yaml
      {how: rejected}
      """

  Scenario: As many different people as the quorum says
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], quorum: 2}}
      - s: {set: {how: '${ .outcome }', n: '${ .decisions | length }'}}
      """
    When the workflow is started
    And ann of doctors approves sign
    And ann of doctors approves sign
    Then the request should be refused because of already
    And the workflow should wait
    When bob of doctors approves sign
    Then the workflow should complete with output:
      """yaml
      {how: approved, n: 2}
      """

  Scenario: A stranger may not approve
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors]}}
      """
    When the workflow is started
    And eve of cooks approves sign
    Then the request should be refused because of 'not on the list'
    And the workflow should wait

  Scenario: Whoever escalation names may approve afterwards, and not before
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], escalate: {after: P1D, to: [heads]}}}
      """
    When the workflow is started
    And eve of heads approves sign
    Then the request should be refused because of 'not on the list'
    When P1D passes
    And eve of heads approves sign
    Then the workflow should complete

  Scenario: Nobody decides in time
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], due: P2D}}
      - s: {set: {how: '${ .outcome }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {how: timeout}
      """
    And the workflow should have taken P2D

  Scenario: Nobody decides in time, and that is an error
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], due: P2D, onTimeout: error}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {status: 408}
      """

  Scenario: Side by side, each its own
    Given the tasks are:
      """yaml
      - f:
          fork:
            branches:
            - law: {call: 'approval:1@default', with: {groups: [law]}}
            - money: {call: 'approval:1@default', with: {groups: [money]}}
      - s: {set: {both: '${ map(.outcome) }'}}
      """
    When the workflow is started
    And ann of money approves money
    Then the workflow should wait
    When bob of law rejects law
    Then the workflow should complete with output:
      """yaml
      both: [rejected, approved]
      """

  Scenario: A late decision does not count for the next round
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors]}, export: {as: '$context + {n: (($context.n // 0) + 1)}'}}
      - again: {switch: [{more: {when: '$context.n < 2', then: sign}}]}
      - s: {set: {n: '${ $context.n }'}}
      """
    When the workflow is started
    And ann of doctors approves sign
    Then the workflow should wait
    When ann of doctors approves sign
    Then the workflow should complete with output:
      """yaml
      n: 2
      """

  Scenario Outline: A decision survives when the hub <what>
    Given the tasks are:
      """yaml
      - sign: {call: 'approval:1@default', with: {groups: [doctors], quorum: 2}}
      """
    When the workflow is started
    And ann of doctors approves sign
    And the hub <what>
    And bob of doctors approves sign
    Then the workflow should complete
    Examples:
      | what     |
      | crashes  |
      | restarts |
