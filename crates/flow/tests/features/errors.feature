Feature: Errors
  Raising, catching, standard errors and their names (rules 6 and 31).

  Scenario: A raised error has everything that it is given
    Given the tasks are:
      """yaml
      - r:
          raise:
            error:
              type: https://a.test/sold-out
              status: 409
              title: Sold out
              detail: '${ "no \(.what) left" }'
      """
    And the workflow input is:
      """yaml
      what: pens
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://a.test/sold-out
      status: 409
      title: Sold out
      detail: no pens left
      instance: /do/0/r
      """

  Scenario: The instance of an error may be given
    Given the tasks are:
      """yaml
      - r: {raise: {error: {type: 'https://a.test/bad', status: 400, instance: /elsewhere}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      instance: /elsewhere
      """

  Scenario: A reusable error is raised by its name
    Given the tasks are:
      """yaml
      use:
        errors:
          soldOut: {type: 'https://a.test/sold-out', status: 409, title: Sold out}
      do:
        - r: {raise: {error: soldOut}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://a.test/sold-out', status: 409, title: Sold out, instance: /do/0/r}
      """

  Scenario: An error that is not defined is refused
    Given the tasks are:
      """yaml
      - r: {raise: {error: soldOut}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 25'

  Scenario Outline: The standard error <word> is caught by its type
    Given the tasks are:
      """yaml
      - t:
          try:
            - r: {raise: {error: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/<word>', status: <status>}}}
          catch:
            errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/<word>'}}
            do: [{s: {set: {caught: '${ $error.status }'}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      caught: <status>
      """
    And r should fault
    Examples:
      | word           | status |
      | configuration  | 400    |
      | validation     | 400    |
      | expression     | 400    |
      | authentication | 401    |
      | authorization  | 403    |
      | timeout        | 408    |
      | communication  | 500    |
      | runtime        | 500    |

  Scenario Outline: A standard error is caught by its name at <place>
    Given GET https://a.test/ answers 503
    And the tasks are:
      """yaml
      - t:
          try: [{c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}}]
          catch:
            errors: {with: {type: '<place>/communication'}}
            do: [{s: {set: {caught: '${ $error.type }'}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      caught: https://open-workflow-specification.org/spec/1.0.0/errors/communication
      """
    Examples:
      | place                                                      |
      | https://open-workflow-specification.org/spec/1.0.0/errors  |
      | https://serverlessworkflow.io/spec/1.0.0/errors            |
      | https://open-workflow-specification.org/dsl/errors/types   |
      | https://serverlessworkflow.io/dsl/errors/types             |

  Scenario: An error of the engine has type, status, title, detail and instance
    Given GET https://a.test/ answers 418
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/communication
      title: Communication Error
      status: 418
      instance: /do/0/c
      """
    And the error should have properties 'detail'

  Scenario Outline: A filter by <key> that <how>
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418, title: Bad, detail: very, instance: /x}}}}]
          catch:
            errors: {with: {<key>: <value>}}
            do: [{s: {set: {caught: true}}}]
      """
    When the workflow is executed
    Then <sentence>
    Examples:
      | key      | how      | value              | sentence                     |
      | type     | fits     | https://a.test/bad | the workflow should complete |
      | type     | does not | https://a.test/sad | the workflow should fault    |
      | status   | fits     | 418                | the workflow should complete |
      | status   | does not | 500                | the workflow should fault    |
      | title    | fits     | Bad                | the workflow should complete |
      | title    | does not | Sad                | the workflow should fault    |
      | detail   | fits     | very               | the workflow should complete |
      | detail   | does not | hardly             | the workflow should fault    |
      | instance | fits     | /x                 | the workflow should complete |
      | instance | does not | /y                 | the workflow should fault    |

  Scenario: All of a filter must fit
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch:
            errors: {with: {type: 'https://a.test/bad', status: 500}}
            do: [{s: {set: {caught: true}}}]
      """
    When the workflow is executed
    Then the workflow should fault

  Scenario Outline: Catch when <condition>
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch:
            <key>: '<condition>'
            do: [{s: {set: {caught: true}}}]
      """
    When the workflow is executed
    Then <sentence>
    Examples:
      | key        | condition               | sentence                     |
      | when       | $error.status == 418    | the workflow should complete |
      | when       | $error.status == 500    | the workflow should fault    |
      | exceptWhen | $error.status == 418    | the workflow should fault    |
      | exceptWhen | $error.status == 500    | the workflow should complete |

  Scenario: The error has the name that `as` gives it
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch:
            as: oops
            when: $oops.status == 418
            do: [{s: {set: {status: '${ $oops.status }'}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      status: 418
      """

  Scenario: The variable of the error is unknown outside the handler
    Given the tasks are:
      """yaml
      - t:
          try: [{s: {set: {a: 1}}}]
          catch: {as: oops, do: [{h: {set: {b: 1}}}]}
      - after: {set: {x: '${ $oops }'}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 38'

  Scenario: Without a handler a caught error is swallowed
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch: {}
      - after: {set: '${ . + {after: true} }'}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {n: 1, after: true}
      """

  Scenario: The handler's input is that of the try
    Given the tasks are:
      """yaml
      - t:
          try:
            - s: {set: {changed: true}}
            - r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}
          catch: {do: [{h: {set: '${ . + {handled: true} }'}}]}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {n: 1, handled: true}
      """

  Scenario: Where the handler ends it may lead elsewhere
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch: {do: [{h: {set: {handled: true}}}], then: c}
      - b: {set: {b: true}}
      - c: {set: '${ . + {c: true} }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {handled: true, c: true}
      """
    And b should not run

  Scenario: Where nothing fails the way of the handler is not taken
    Given the tasks are:
      """yaml
      - t:
          try: [{s: {set: {fine: true}}}]
          catch: {then: end}
      - b: {set: {b: true}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      b: true
      """

  Scenario: Catch may end the workflow without a handler
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch: {then: end}
      - b: {set: {b: true}}
      """
    When the workflow is executed
    Then the workflow should complete
    And b should not run

  Scenario: An error in the handler goes on
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/first', status: 418}}}}]
          catch: {do: [{h: {raise: {error: {type: 'https://a.test/second', status: 500}}}}]}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://a.test/second
      instance: /do/0/t/catch/do/0/h
      """

  Scenario: The nearest handler that wants it takes it
    Given the tasks are:
      """yaml
      - outer:
          try:
            - inner:
                try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
                catch: {errors: {with: {status: 500}}, do: [{x: {set: {by: inner}}}]}
          catch: {errors: {with: {status: 418}}, do: [{y: {set: {by: outer}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      by: outer
      """
    And inner should fault

  Scenario: A condition that fails replaces the error
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}}]
          catch: {when: '$error.status + {}', do: [{x: {set: {a: 1}}}]}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      """

  Scenario: Nothing is caught where nothing fails
    Given the tasks are:
      """yaml
      - t:
          try: [{s: {set: {fine: true}}}]
          catch: {do: [{h: {set: {handled: true}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      fine: true
      """
    And h should not run

  Scenario: The error can be raised again
    Given the tasks are:
      """yaml
      - t:
          try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 418, detail: first}}}}]
          catch:
            do:
              - again: {raise: {error: {type: '${ $error.type }', status: 500, detail: '${ $error.detail + ", again" }'}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://a.test/bad', status: 500, detail: 'first, again'}
      """
