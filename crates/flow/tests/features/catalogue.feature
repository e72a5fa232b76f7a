Feature: The default catalogue
  Functions that every workflow can call.

  Scenario: A record is made, patched and removed
    Given the tasks are:
      """yaml
      - a: {call: 'record-update:1@default', with: {collection: pets, id: p1, data: {name: Rex, age: 3}}}
      - b: {call: 'record-update:1@default', with: {collection: pets, id: p1, operation: patch, data: {age: 4}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the record p1 of pets should be:
      """yaml
      {name: Rex, age: 4}
      """

  Scenario: A record that is deleted is gone
    Given the tasks are:
      """yaml
      - a: {call: 'record-update:1@default', with: {collection: pets, id: p1, data: {name: Rex}}}
      - b: {call: 'record-update:1@default', with: {collection: pets, id: p1, operation: delete}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the record p1 of pets should be:
      """yaml
      null
      """

  Scenario: Another version of a record is a conflict that can be caught
    Given the tasks are:
      """yaml
      - a: {call: 'record-update:1@default', with: {collection: pets, id: p1, data: {n: 1}}}
      - t:
          try:
          - b: {call: 'record-update:1@default', with: {collection: pets, id: p1, data: {n: 2}, version: 7}}
          catch: {errors: {with: {status: 409}}, do: [{h: {set: {conflict: true}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      conflict: true
      """
    And the record p1 of pets should be:
      """yaml
      n: 1
      """

  Scenario: A patch of nothing is an error
    Given the tasks are:
      """yaml
      - b: {call: 'record-update:1@default', with: {collection: pets, id: p9, operation: patch, data: {n: 2}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 404
      """

  Scenario: An event is emitted
    Given the tasks are:
      """yaml
      - e: {call: 'event:1@default', with: {type: pet.fed, subject: p1, data: {n: '${ 1 + 1 }'}}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event pet.fed should have the attributes:
      """yaml
      {subject: p1, data: {n: 2}}
      """

  Scenario: A call over HTTP
    Given the tasks are:
      """yaml
      - c: {call: 'http:1@default', with: {method: post, endpoint: 'http://a.test/x', body: {n: '${ .n }'}}}
      """
    And the workflow input is:
      """yaml
      n: 3
      """
    And post http://a.test/x answers 200 with:
      """yaml
      ok: true
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      ok: true
      """
    And call 1 should have body:
      """yaml
      n: 3
      """

  Scenario: A document is routed
    Given the tasks are:
      """yaml
      - r: {call: 'document.route:1@default', with: {document: d1, to: {group: doctors}, status: review}}
      - s: {set: {to: '${ .to }', status: '${ .status }'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {to: {group: doctors}, status: review}
      """

  Scenario: What cannot be sent says so
    Given the tasks are:
      """yaml
      - m: {call: 'email:1@default', with: {to: a@b.example, subject: s, body: b}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/configuration
      """

  Scenario: A function that does nothing gives what it was given
    Given the tasks are:
      """yaml
      - n: {call: 'noop:1@default', with: {a: 1}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      a: 1
      """

  Scenario Outline: <what> is refused when it is stored
    Given the tasks are:
      """yaml
      - c: {call: '<function>', with: <with>}
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | what                | function                | with                  | why     |
      | an unknown function | nothing:1@default       | {}                    | rule 25 |
      | another version     | noop:2@default          | {}                    | rule 25 |
      | a missing argument  | event:1@default         | {}                    | rule 42 |
      | an argument too many| event:1@default         | {type: a.b, colour: 1}| rule 42 |
