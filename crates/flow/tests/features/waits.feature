Feature: Waits and timeouts
  Durations, timeouts of tasks and workflows (rules 7 and 29).

  Scenario Outline: A wait of <given>
    Given the tasks are:
      """yaml
      - w: {wait: <given>}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken <taken>
    Examples:
      | given                                      | taken     |
      | PT5S                                       | PT5S      |
      | P1DT2H3M4S                                 | P1DT2H3M4S |
      | P2W                                        | P14D      |
      | PT0.25S                                    | PT0.25S   |
      | {seconds: 5}                               | PT5S      |
      | {days: 1, hours: 2, minutes: 3, seconds: 4} | P1DT2H3M4S |
      | {milliseconds: 250}                        | PT0.25S   |
      | PT0S                                       | PT0S      |
      | P90D                                       | P90D      |

  Scenario Outline: A wait of <given> is refused
    Given the tasks are:
      """yaml
      - w: {wait: <given>}
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | given         | why     |
      | P1M           | rule 29 |
      | P1Y           | rule 29 |
      | P101Y         | rule 29 |
      | PT            | PT      |
      | soon          | soon    |
      | {fortnights: 1} | fortnights |

  Scenario: A wait may be an expression
    Given the tasks are:
      """yaml
      - w: {wait: '${ .long }'}
      """
    And the workflow input is:
      """yaml
      long: PT17S
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT17S

  Scenario: An expression that is no duration is an error
    Given the tasks are:
      """yaml
      - w: {wait: '${ .long }'}
      """
    And the workflow input is:
      """yaml
      long: soon
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      instance: /do/0/w
      """

  Scenario: A wait passes its input on
    Given the tasks are:
      """yaml
      - w: {wait: PT1S, output: {as: '${ . + {waited: true} }'}}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {n: 1, waited: true}
      """

  Scenario: Nothing moves until the time has come
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      - s: {set: {done: true}}
      """
    When the workflow is started
    And PT9.999S passes
    Then the workflow should wait
    When PT0.001S passes
    Then the workflow should complete

  Scenario: A long wait leaves memory
    Given the tasks are:
      """yaml
      - w: {wait: P30D}
      """
    When the workflow is started
    And P29D passes
    Then the workflow should wait
    When P1D passes
    Then the workflow should complete
    And the workflow should have 3 records

  Scenario: A timeout ends a task that waits
    Given the tasks are:
      """yaml
      - w: {timeout: {after: PT5S}, wait: PT10S}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/timeout
      status: 408
      instance: /do/0/w
      """
    And the workflow should have taken PT5S

  Scenario: A timeout is no matter where the task is quick enough
    Given the tasks are:
      """yaml
      - w: {timeout: {after: PT5S}, wait: PT4S}
      - later: {wait: PT4S}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT8S

  Scenario: A timeout is caught
    Given the tasks are:
      """yaml
      - t:
          try: [{w: {timeout: {after: PT5S}, wait: PT10S}}]
          catch: {errors: {with: {status: 408}}, do: [{s: {set: {late: true}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      late: true
      """
    And the workflow should have taken PT5S

  Scenario: A timeout of a list ends what is under way in it
    Given GET https://a.test/ never answers
    And the tasks are:
      """yaml
      - list:
          timeout: {after: PT5S}
          do:
            - s: {set: {a: 1}}
            - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 408
      instance: /do/0/list
      """
    And c should cancel

  Scenario: A timeout of a try is not its own to catch
    Given the tasks are:
      """yaml
      - t:
          timeout: {after: PT5S}
          try: [{w: {wait: PT10S}}]
          catch: {do: [{s: {set: {caught: true}}}]}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 408
      """

  Scenario: A timeout of a listen
    Given the tasks are:
      """yaml
      - l: {timeout: {after: PT5S}, listen: {to: {one: {with: {type: never.comes}}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 408
      instance: /do/0/l
      """

  Scenario: The timeout of the workflow
    Given the tasks are:
      """yaml
      timeout: {after: PT5S}
      do:
        - a: {wait: PT3S}
        - b: {wait: PT3S}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/timeout
      """
    And the workflow should have taken PT5S

  Scenario: The timeout of the workflow cannot be caught inside
    Given the tasks are:
      """yaml
      timeout: {after: PT5S}
      do:
        - t:
            try: [{a: {wait: PT9S}}]
            catch: {do: [{s: {set: {caught: true}}}]}
      """
    When the workflow is executed
    Then the workflow should fault

  Scenario: A reusable timeout is used by its name
    Given the tasks are:
      """yaml
      use: {timeouts: {short: {after: PT2S}}}
      do:
        - w: {timeout: short, wait: PT10S}
      """
    When the workflow is executed
    Then the workflow should fault
    And the workflow should have taken PT2S

  Scenario: The shorter of two timeouts counts
    Given the tasks are:
      """yaml
      - outer:
          timeout: {after: PT3S}
          do:
            - w: {timeout: {after: PT5S}, wait: PT10S}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      instance: /do/0/outer
      """
    And the workflow should have taken PT3S

  Scenario: A timeout may be an expression
    Given the tasks are:
      """yaml
      - w: {timeout: {after: '${ .most }'}, wait: PT10S}
      """
    And the workflow input is:
      """yaml
      most: PT4S
      """
    When the workflow is executed
    Then the workflow should fault
    And the workflow should have taken PT4S
