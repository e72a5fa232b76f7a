Feature: Extensions
  What is done before and after tasks of a kind.

  Scenario: Before and after a call
    Given the tasks are:
      """yaml
      use:
        extensions:
        - log:
            extend: call
            before: [{b: {emit: {event: {with: {type: was.before, data: '${ $task.name }'}}}}}]
            after: [{a: {emit: {event: {with: {type: was.after, data: '${ $task.output }'}}}}}]
      do:
        - c: {call: http, with: {method: get, endpoint: 'http://a.test/x'}}
        - s: {set: {n: 1}}
      """
    And get http://a.test/x answers 200 with:
      """yaml
      x: 1
      """
    When the workflow is executed
    Then the workflow should complete
    And the event was.before should have been published 1 times
    And the event was.before should have the attributes:
      """yaml
      data: c
      """
    And the event was.after should have the attributes:
      """yaml
      data: {x: 1}
      """

  Scenario: An extension may take the place of a task
    Given the tasks are:
      """yaml
      use:
        extensions:
        - fake: {extend: call, before: [{m: {set: {mocked: true}, then: exit}}]}
      do:
        - c: {call: http, with: {method: get, endpoint: 'http://a.test/x'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      mocked: true
      """
    And there should be 0 calls

  Scenario: Only where its condition holds
    Given the tasks are:
      """yaml
      use:
        extensions:
        - some: {extend: set, when: '$task.name == "b"', before: [{e: {emit: {event: {with: {type: was.before}}}}}]}
      do:
        - a: {set: {n: 1}}
        - b: {set: {n: 2}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event was.before should have been published 1 times

  Scenario: Several nest, the first outermost
    Given the tasks are:
      """yaml
      use:
        extensions:
        - one: {extend: wait, before: [{b1: {set: {n: 1}}}], after: [{a1: {set: {n: 1}}}]}
        - two: {extend: wait, before: [{b2: {set: {n: 2}}}], after: [{a2: {set: {n: 2}}}]}
      do:
        - w: {wait: PT1S}
      """
    When the workflow is executed
    Then b1 should run before b2
    And a2 should run before a1
    And b2 should run before a2

  Scenario: What extensions give changes nothing
    Given the tasks are:
      """yaml
      use:
        extensions:
        - noise: {extend: set, before: [{b: {set: {x: 1}}}], after: [{a: {set: {x: 2}}}]}
      do:
        - s: {set: {n: '${ .n + 1 }'}}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 2
      """

  Scenario: An error in an extension is the task's
    Given the tasks are:
      """yaml
      use:
        extensions:
        - bad: {extend: set, before: [{r: {raise: {error: {type: 'https://a.test/bad', status: 400}}}}]}
      do:
        - t: {try: [{s: {set: {n: 1}}}], catch: {do: [{h: {wait: PT1S}}]}}
      """
    When the workflow is executed
    Then the workflow should complete
    And h should complete

  Scenario: A wait of an extension survives a crash
    Given the tasks are:
      """yaml
      use:
        extensions:
        - slow: {extend: call, before: [{w: {wait: PT1M}}]}
      do:
        - c: {call: http, with: {method: get, endpoint: 'http://a.test/x'}}
      """
    And get http://a.test/x answers 200
    When the workflow is started
    And the hub crashes
    And the workflow runs on
    Then the workflow should complete
    And there should be 1 calls
