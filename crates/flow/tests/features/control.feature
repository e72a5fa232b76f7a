Feature: Control
  Cancelling, holding, resuming, and steps of people.

  Scenario: A workflow that waits is cancelled at once
    Given the tasks are:
      """yaml
      - w: {wait: P30D}
      """
    When the workflow is started
    And the workflow is cancelled because 'enough is enough'
    Then the workflow should cancel
    And the workflow should be cancelled because of enough
    And w should cancel
    And the workflow should have taken PT0S

  Scenario: A workflow that listens is cancelled and hears no more
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And the workflow is cancelled
    And an event arrives:
      """yaml
      {type: order.paid, data: 1}
      """
    Then the workflow should cancel

  Scenario: A call under way is abandoned when the workflow is cancelled
    Given GET https://a.test/ never answers
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      """
    When the workflow is started
    Then the workflow should run
    When the workflow is cancelled
    Then the workflow should cancel
    And c should cancel

  Scenario: Cancelling cannot be caught
    Given the tasks are:
      """yaml
      - t:
          try: [{w: {wait: P1D}}]
          catch: {do: [{s: {set: {caught: true}}}]}
      """
    When the workflow is started
    And the workflow is cancelled
    Then the workflow should cancel
    And s should not run

  Scenario: A workflow that has ended cannot be cancelled
    Given the tasks are:
      """yaml
      - s: {set: {a: 1}}
      """
    When the workflow is executed
    And the workflow is cancelled
    Then the workflow should complete
    And the request should be refused because of ended

  Scenario: Branches of a fork are cancelled together
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {wait: P1D}
              - b: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And the workflow is cancelled
    Then the workflow should cancel
    And a should cancel
    And b should cancel

  Scenario: What is held does not go on
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      - s: {set: {done: true}}
      """
    When the workflow is started
    And the workflow is suspended because 'lunch break'
    Then the workflow should be suspended because of lunch
    When PT1H passes
    Then the workflow should be suspended
    When the workflow is resumed
    Then the workflow should complete with output:
      """yaml
      done: true
      """

  Scenario: Time goes by while a workflow is held
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      """
    When the workflow is started
    And the workflow is suspended
    And PT4S passes
    And the workflow is resumed
    Then the workflow should wait
    When PT6S passes
    Then the workflow should complete

  Scenario: Events that come while a workflow is held are not lost
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And the workflow is suspended
    And an event arrives:
      """yaml
      {type: order.paid, data: 1}
      """
    Then the workflow should be suspended
    When the workflow is resumed
    Then the workflow should complete with output:
      """yaml
      [1]
      """

  Scenario: What is held can be cancelled
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      """
    When the workflow is started
    And the workflow is suspended
    And the workflow is cancelled
    Then the workflow should cancel

  Scenario: What is held stays so over a restart
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      """
    When the workflow is started
    And the workflow is suspended
    And the hub crashes
    And PT1M passes
    Then the workflow should be suspended
    When the workflow is resumed
    Then the workflow should complete

  Scenario: Holding branches of a fork holds both
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {wait: PT5S}
              - b: {wait: PT10S}
      - s: {set: {done: true}}
      """
    When the workflow is started
    And PT5S passes
    And the workflow is suspended
    And PT10S passes
    Then the workflow should be suspended
    When the workflow is resumed
    Then the workflow should complete with output:
      """yaml
      done: true
      """

  Scenario: A step waits for somebody to do it
    Given the tasks are:
      """yaml
      - sign: {call: 'step:1@default', with: {title: Sign the plan}}
      - s: {set: {by: '${ .by }', said: '${ .data.ok }', outcome: '${ .outcome }'}}
      """
    When the workflow is started
    Then the workflow should wait
    And the workflow should be at step 1 of 2
    When ann completes sign with:
      """yaml
      ok: true
      """
    Then the workflow should complete with output:
      """yaml
      {by: ann, said: true, outcome: done}
      """

  Scenario: What does not fit the form is refused
    Given the tasks are:
      """yaml
      - sign: {call: 'step:1@default', with: {form: {type: object, required: [reason]}}}
      """
    When the workflow is started
    And ann completes sign with:
      """yaml
      {}
      """
    Then the request should be refused because of form
    And the workflow should wait
    When ann completes sign with:
      """yaml
      reason: because
      """
    Then the workflow should complete

  Scenario: A step that is not waited for cannot be done
    Given the tasks are:
      """yaml
      - first: {call: 'step:1@default'}
      - second: {call: 'step:1@default'}
      """
    When the workflow is started
    And ann completes second with:
      """yaml
      {}
      """
    Then the request should be refused because of 'no such step'
    And the workflow should be at step 1 of 2

  Scenario: A step that nobody does in time has that as its outcome
    Given the tasks are:
      """yaml
      - sign: {call: 'step:1@default', with: {due: P2D}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      outcome: timeout
      """
    And the workflow should have taken P2D

  Scenario: A step that nobody does in time may be an error
    Given the tasks are:
      """yaml
      - sign: {call: 'step:1@default', with: {due: P2D, onTimeout: error}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/timeout
      instance: /do/0/sign
      """

  Scenario: Steps inside a fork are done in any order
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {call: 'step:1@default', output: {as: .by}}
              - b: {call: 'step:1@default', output: {as: .by}}
      """
    When the workflow is started
    And bob completes b with:
      """yaml
      {}
      """
    Then the workflow should wait
    When ann completes a with:
      """yaml
      {}
      """
    Then the workflow should complete with output:
      """yaml
      [ann, bob]
      """

  Scenario: A decision outlives a crash
    Given the tasks are:
      """yaml
      - first: {call: 'step:1@default'}
      - second: {call: 'step:1@default'}
      """
    When the workflow is started
    And ann completes first with:
      """yaml
      {}
      """
    And the hub crashes
    Then the workflow should be at step 2 of 2
    When bob completes second with:
      """yaml
      {}
      """
    Then the workflow should complete
