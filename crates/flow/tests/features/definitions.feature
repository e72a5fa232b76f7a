Feature: Definitions
  What is refused before anything runs, and why (rules 20 to 42).

  Scenario Outline: <what> is refused
    Given the tasks are:
      """yaml
      - t: <task>
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | what                       | task                                                   | why      |
      | A task that does nothing   | {}                                                     | /do/0/t  |
      | A task that does two things | {set: {a: 1}, wait: PT1S}                             | /do/0/t  |
      | An unknown key             | {set: {a: 1}, the: end}                                | the      |
      | A mistyped kind            | {sett: {a: 1}}                                         | sett     |
      | A container                | {run: {container: {image: alpine}}}                    | rule 22  |
      | An unknown reference       | {timeout: never, wait: PT1S}                           | rule 25  |
      | A status out of range      | {raise: {error: {type: 'https://a.test/', status: 42}}} | status  |
      | An endpoint of nothing     | {call: http, with: {method: get}}                      | endpoint |
      | An unknown output          | {call: http, with: {method: get, endpoint: 'https://a.test/', output: all}} | output |
      | A wait of nothing known    | {wait: {hour: 1}}                                      | hour     |
      | A set of nothing           | {set: {}}                                              | set      |
      | A for without a list       | {for: {each: x}, do: []}                               | in       |

  Scenario: Every fault is told
    Given the tasks are:
      """yaml
      - a: {sett: {a: 1}}
      - b: {wait: {hour: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of '/do/0/a'
    And the definition should be refused because of '/do/1/b'

  Scenario: A fault names its line
    Given the tasks are:
      """yaml
      - a: {set: {n: 1}}
      - b:
          wait: soon
      """
    When the workflow is published
    Then the definition should be refused because of '9:7'

  Scenario Outline: A document with <what> is refused
    Given a workflow with definition:
      """yaml
      document: {dsl: '<dsl>', namespace: <namespace>, name: <name>, version: '<version>'}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | what               | dsl   | namespace | name  | version | why       |
      | another language   | 2.0.0 | suite     | it    | 1.0.0   | rule 32   |
      | the old language   | 0.8   | suite     | it    | 1.0.0   | dsl       |
      | no version         | 1.0.3 | suite     | it    | one     | version   |
      | a name with spaces | 1.0.3 | suite     | it is | 1.0.0   | name      |
      | a dotted namespace | 1.0.3 | a.b       | it    | 1.0.0   | namespace |

  Scenario: A document without tasks is refused
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0'}
      """
    When the workflow is published
    Then the definition should be refused because of 'do'

  Scenario: What is no YAML is refused
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3'
      """
    When the workflow is published
    Then the definition should be refused because of '1:'

  Scenario: Another expression language is refused
    Given the tasks are:
      """yaml
      evaluate: {language: cel}
      do:
        - s: {set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 32'
