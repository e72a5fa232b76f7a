Feature: Expressions
  What is an expression and what it may do (rules 13 to 18, 32).

  Scenario Outline: Data that looks like an expression stays data: <text>
    Given the tasks are:
      """yaml
      - s: {set: {copied: '${ .text }'}}
      """
    And the workflow input is:
      """yaml
      text: '<text>'
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      copied: '<text>'
      """
    Examples:
      | text              |
      | ${ .secret }      |
      | ${ 1 + 1 }        |
      | {{ template }}    |
      | \\(.interpolated) |

  Scenario: An expression may have several lines
    Given the tasks are:
      """yaml
      - s:
          set:
            sum: |
              ${
                .list
                | map(. * 2)
                | add
              }
      """
    And the workflow input is:
      """yaml
      list: [1, 2, 3]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      sum: 12
      """

  Scenario: Text with an expression inside is text, and warned of
    Given the tasks are:
      """yaml
      - s: {set: {text: 'hello ${ .name }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      text: hello ${ .name }
      """
    And the definition should be warned of because of 'rule 14'

  Scenario: No result is null
    Given the tasks are:
      """yaml
      - s: {set: {none: '${ empty }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      none: null
      """

  Scenario: Several results are an error
    Given the tasks are:
      """yaml
      - s: {set: {many: '${ .list | .[] }'}}
      """
    And the workflow input is:
      """yaml
      list: [1, 2]
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      """
    And the definition should be warned of because of 'rule 16'

  Scenario Outline: <expression> is <result>
    Given the tasks are:
      """yaml
      - s: {set: {it: '${ <expression> }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      it: <result>
      """
    Examples:
      | expression                      | result          |
      | 10 / 2                          | 5               |
      | 10 / 4                          | 2.5             |
      | 1e3                             | 1000            |
      | [1,2,3][1:]                     | [2, 3]          |
      | null[1:]                        | null            |
      | "a" + null                      | a               |
      | {} \| .a.b                      | null            |
      | [3,1,2] \| sort                 | [1, 2, 3]       |
      | "x" * 3                         | xxx             |
      | [1,null,2] \| map(. // 0)       | [1, 0, 2]       |
      | "a,b" \| split(",")             | [a, b]          |
      | {a:1} * {a:{b:2}}               | {a: {b: 2}}     |
      | [1,2] \| IN([1,2])              | true            |
      | "2024-01-01T00:00:00Z" \| fromdate | 1704067200   |
      | ("test" \| ascii_upcase)        | TEST            |
      | [limit(3; range(10))]           | [0, 1, 2]       |
      | [.[]?]                          | []              |
      | ("abc" \| test("B"; "i"))       | true            |
      | try error("x") catch .          | x               |
      | reduce range(5) as $i (0; . + $i) | 10            |

  Scenario Outline: <what> is an error
    Given the tasks are:
      """yaml
      - s: {set: {it: '${ <expression> }'}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      status: 400
      instance: /do/0/s
      """
    Examples:
      | what              | expression          |
      | Division by zero  | 1 / 0               |
      | What is no number | nan                 |
      | What has no end   | infinite            |
      | An own error      | error("no")         |
      | A wrong type      | 1 + {}              |
      | An endless loop   | [range(1e12)]       |
      | A wrong text      | "no" \| fromjson    |

  Scenario Outline: <what> does not compile
    Given the tasks are:
      """yaml
      - s: {set: {it: '${ <expression> }'}}
      """
    When the workflow is published
    Then the definition should be refused because of 'does not compile'
    Examples:
      | what                  | expression     |
      | The environment       | env            |
      | A variable of it      | $ENV.PATH      |
      | Input of the process  | input          |
      | The end of it         | halt           |
      | Its output            | debug          |
      | An unknown function   | frobnicate     |
      | An unknown variable   | $nobody        |
      | Half an expression    | .a +           |

  Scenario: Time is that of the record
    Given the tasks are:
      """yaml
      - a: {set: {at: '${ now }'}}
      - w: {wait: PT10S}
      - b: {set: {apart: '${ now - .at }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      apart: 10
      """

  Scenario: `yes`, `no` and `on` are text
    Given the tasks are:
      """yaml
      - s: {set: {a: yes, b: no, c: on, d: 0o17, on: x}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have a 'b' property with value:
      """yaml
      'no'
      """
    And the workflow output should have a 'd' property with value:
      """yaml
      15
      """
    And the workflow output should have a 'on' property with value:
      """yaml
      x
      """

  Scenario: A key that comes twice is refused
    Given the tasks are:
      """yaml
      - s: {set: {a: 1, a: 2}}
      """
    When the workflow is published
    Then the definition should be refused because of 'twice'

  Scenario: A big number stays itself
    Given the tasks are:
      """yaml
      - s: {set: {n: '${ .n }'}}
      """
    And the workflow input is:
      """yaml
      n: 9007199254740993
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      n: 9007199254740993
      """

  Scenario: All secrets at once are not to be had without declaring them
    Given the tasks are:
      """yaml
      - s: {set: {all: '${ $secrets.key }'}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 13'
