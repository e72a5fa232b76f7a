Feature: Data flow
  input.from, output.as, export.as, schemas, context, and where each applies (rules 4 and 5, 37).

  Scenario: The input of the workflow is transformed
    Given the tasks are:
      """yaml
      input: {from: .inner}
      do:
        - s: {set: {got: '${ .n }'}}
      """
    And the workflow input is:
      """yaml
      inner: {n: 1}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      got: 1
      """

  Scenario: The output of the workflow is transformed
    Given the tasks are:
      """yaml
      output: {as: '${ {total: .a} }'}
      do:
        - s: {set: {a: 1, b: 2}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      total: 1
      """

  Scenario: A transformation may be an object with expressions in it
    Given the tasks are:
      """yaml
      - s:
          input: {from: {deep: {n: '${ .a.b }'}, fixed: 1}}
          set: '${ . }'
          output: {as: {all: ['${ .deep.n }', '${ .fixed }']}}
      """
    And the workflow input is:
      """yaml
      a: {b: 7}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      all: [7, 1]
      """

  Scenario: What a task gives is the input of the next
    Given the tasks are:
      """yaml
      - a: {set: {n: 1}}
      - b: {set: {n: '${ .n + 1 }', seen: '${ keys }'}}
      """
    And the workflow input is:
      """yaml
      lost: true
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {n: 2, seen: [n]}
      """

  Scenario: `$input` is the transformed input
    Given the tasks are:
      """yaml
      - s: {input: {from: .inner}, set: {n: '${ $input.n }'}}
      """
    And the workflow input is:
      """yaml
      inner: {n: 5}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 5
      """

  Scenario: `$workflow.input` is what the workflow was started with
    Given the tasks are:
      """yaml
      - a: {set: {other: true}}
      - s: {set: {n: '${ $workflow.input.n }'}}
      """
    And the workflow input is:
      """yaml
      n: 5
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 5
      """

  Scenario: The context begins empty
    Given the tasks are:
      """yaml
      - s: {set: {context: '${ $context }'}}
      """
    And the workflow input is:
      """yaml
      n: 5
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      context: {}
      """

  Scenario: The context begins with the input where that is asked for
    Given a workflow with definition:
      """yaml
      document:
        dsl: '1.0.3'
        namespace: suite
        name: it
        version: '1.0.0'
        metadata: {trunkline: {initialContext: input}}
      input: {from: .inner}
      do:
        - s: {set: {context: '${ $context }'}}
      """
    And the workflow input is:
      """yaml
      inner: {n: 5}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      context: {n: 5}
      """

  Scenario: Export sees the transformed output
    Given the tasks are:
      """yaml
      - s:
          set: {n: 1}
          output: {as: '${ {m: (.n + 1)} }'}
          export: {as: '${ {kept: .} }'}
      - read: {set: '${ $context }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      kept: {m: 2}
      """

  Scenario: Export replaces the context
    Given the tasks are:
      """yaml
      - a: {set: {x: 1}, export: {as: '${ {a: 1} }'}}
      - b: {set: {x: 1}, export: {as: '${ {b: 2} }'}}
      - read: {set: '${ $context }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      b: 2
      """
    And the definition should be warned of because of 'rule 5'

  Scenario: Export may keep what was there
    Given the tasks are:
      """yaml
      - a: {set: {x: 1}, export: {as: '${ $context + {a: 1} }'}}
      - b: {set: {x: 1}, export: {as: '${ $context + {b: 2} }'}}
      - read: {set: '${ $context }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {a: 1, b: 2}
      """

  Scenario: The context reaches into lists and handlers
    Given the tasks are:
      """yaml
      - a: {set: {x: 1}, export: {as: '${ {a: 1} }'}}
      - list:
          do:
            - t:
                try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 400}}}}]
                catch: {do: [{h: {set: {sees: '${ $context.a }'}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      sees: 1
      """

  Scenario Outline: Input that <how> the schema of the workflow
    Given the tasks are:
      """yaml
      input:
        schema: {format: json, document: {type: object, required: [n], properties: {n: {type: integer, minimum: 1}}}}
      do:
        - s: {set: '${ .n }'}
      """
    And the workflow input is:
      """yaml
      <input>
      """
    When the workflow is executed
    Then <sentence>
    Examples:
      | how      | input     | sentence                     |
      | fits     | {n: 1}    | the workflow should complete |
      | breaks   | {n: 0}    | the workflow should fault    |
      | breaks   | {n: text} | the workflow should fault    |
      | breaks   | {}        | the workflow should fault    |
      | breaks   | []        | the workflow should fault    |

  Scenario: Input is validated before it is transformed
    Given the tasks are:
      """yaml
      - s:
          input:
            schema: {document: {type: object, required: [inner]}}
            from: .inner
          set: {got: '${ . }'}
      """
    And the workflow input is:
      """yaml
      inner: 3
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      got: 3
      """

  Scenario: Output is validated after it is transformed
    Given the tasks are:
      """yaml
      - s:
          set: {n: 1}
          output:
            as: .n
            schema: {document: {type: integer}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      1
      """

  Scenario Outline: What breaks the schema of a task's <place> is an error of validation
    Given the tasks are:
      """yaml
      - s:
          set: {n: 1}
          <place>:
            schema: {document: {type: object, required: [m]}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
      title: Validation Error
      status: 400
      instance: /do/0/s
      """
    Examples:
      | place  |
      | input  |
      | output |
      | export |

  Scenario: What is exported is validated
    Given the tasks are:
      """yaml
      - s:
          set: {n: 1}
          export: {as: '${ {m: "text"} }', schema: {document: {properties: {m: {type: integer}}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
      """

  Scenario: The output of the workflow is validated
    Given the tasks are:
      """yaml
      output: {schema: {document: {type: string}}}
      do:
        - s: {set: {n: 1}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/validation
      """

  Scenario: What breaks a schema is not shown, but where
    Given the tasks are:
      """yaml
      - s: {input: {schema: {document: {properties: {card: {type: integer}}}}}, set: {n: 1}}
      """
    And the workflow input is:
      """yaml
      card: my-number
      """
    When the workflow is executed
    Then the workflow should fault
    And the error detail should contain card

  Scenario: A schema that is none is refused
    Given the tasks are:
      """yaml
      - s: {input: {schema: {document: {type: number, minimun: 3}}}, set: {n: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 37'

  Scenario: Set gives just what is set
    Given the tasks are:
      """yaml
      - s: {set: {text: plain, list: ['${ .n }', 2], nested: {m: '${ .n + 1 }'}, nothing: null, yes: true}}
      """
    And the workflow input is:
      """yaml
      n: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {text: plain, list: [1, 2], nested: {m: 2}, nothing: null, yes: true}
      """

  Scenario: Set may be one expression
    Given the tasks are:
      """yaml
      - s: {set: '${ [.n, .n * 2] }'}
      """
    And the workflow input is:
      """yaml
      n: 3
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [3, 6]
      """

  Scenario Outline: The variable <variable>
    Given the tasks are:
      """yaml
      - s: {set: {it: '${ <expression> }'}}
      """
    And the workflow input is:
      """yaml
      n: 3
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      it: <value>
      """
    Examples:
      | variable                      | expression                                | value     |
      | $task.name                    | $task.name                                | s         |
      | $task.reference               | $task.reference                           | /do/0/s   |
      | $task.input                   | $task.input.n                             | 3         |
      | $task.definition              | $task.definition.set.it                   | '${ $task.definition.set.it }' |
      | $task.startedAt               | $task.startedAt.epoch.seconds > 1000000   | true      |
      | $workflow.id                  | $workflow.id[0:3]                         | wf_       |
      | $workflow.definition          | $workflow.definition.document.name        | it        |
      | $workflow.startedAt           | $workflow.startedAt.iso8601[0:2]          | '20'      |
      | $runtime.name                 | $runtime.name                             | trunkline |
      | $runtime.version              | $runtime.version \| type                  | string    |
