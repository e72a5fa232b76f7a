Feature: Secrets
  Values that are in their places while a call is made, and nowhere else.

  Scenario: A secret goes out and is kept nowhere
    Given the tasks are:
      """yaml
      use: {secrets: [lab]}
      do:
        - c: {call: http, with: {method: get, endpoint: 'http://a.test/x', headers: {x-key: '${ $secrets.lab }'}}}
      """
    And the secret lab is:
      """yaml
      hush-hush-17
      """
    And get http://a.test/x answers 200 with:
      """yaml
      echo: hush-hush-17
      """
    When the workflow is executed
    Then the workflow should complete
    And call 1 should have the header x-key with hush-hush-17
    And nothing that is kept should contain hush-hush-17

  Scenario: A stand-in can be passed on
    Given the tasks are:
      """yaml
      use: {secrets: [lab]}
      do:
        - s: {set: {key: '${ $secrets.lab }'}}
        - e: {emit: {event: {with: {type: was.told, data: '${ . }'}}}, output: {as: '$input'}}
        - c: {call: http, with: {method: post, endpoint: 'http://a.test/x', body: '${ . }'}}
      """
    And the secret lab is:
      """yaml
      hush-hush-17
      """
    And post http://a.test/x answers 200
    When the workflow is executed
    Then the workflow should complete
    And call 1 should have body:
      """yaml
      key: hush-hush-17
      """
    And the event was.told should have the attributes:
      """yaml
      data: {key: '[secret lab]'}
      """
    And nothing that is kept should contain hush-hush-17

  Scenario: A secret that nobody configured is an error
    Given the tasks are:
      """yaml
      use: {secrets: [lab]}
      do:
        - c: {call: http, with: {method: get, endpoint: 'http://a.test/x', headers: {x-key: '${ $secrets.lab }'}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And there should be 0 calls

  Scenario: A secret in what undoes a task
    Given the tasks are:
      """yaml
      use: {secrets: [lab]}
      do:
        - a:
            metadata: {trunkline: {compensate: [{u: {call: http, with: {method: delete, endpoint: 'http://a.test/x', headers: {x-key: '${ $secrets.lab }'}}}}]}}
            set: {key: '${ $secrets.lab }'}
        - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    And the secret lab is:
      """yaml
      hush-hush-17
      """
    And delete http://a.test/x answers 204
    When the workflow is executed
    Then the workflow should fault
    And call 1 should have the header x-key with hush-hush-17
    And nothing that is kept should contain hush-hush-17

  Scenario: A key of a limit shows no secret
    Given the tasks are:
      """yaml
      use: {secrets: [lab]}
      do:
        - a: {metadata: {trunkline: {concurrency: {key: '${ $secrets.lab }'}}}, wait: PT1S}
      """
    And the secret lab is:
      """yaml
      hush-hush-17
      """
    When the workflow is executed
    Then the workflow should complete
    And nothing that is kept should contain hush-hush-17

  Scenario: Basic and bearer credentials come from secrets
    Given the tasks are:
      """yaml
      use:
        secrets: [user, token]
        authentications:
          one: {basic: {use: user}}
          two: {bearer: {use: token}}
      do:
        - a: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/a', authentication: {use: one}}}}
        - b: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/b', authentication: {use: two}}}}
      """
    And the secret user is:
      """yaml
      {username: ann, password: hush-hush-17}
      """
    And the secret token is:
      """yaml
      {token: hush-hush-18}
      """
    And get http://a.test/a answers 200
    And get http://a.test/b answers 200
    When the workflow is executed
    Then the workflow should complete
    And call 1 should have the header authorization with 'Basic YW5uOmh1c2gtaHVzaC0xNw=='
    And call 2 should have the header authorization with 'Bearer hush-hush-18'
    And nothing that is kept should contain hush-hush

  Scenario: A token is fetched once and used for both calls
    Given the tasks are:
      """yaml
      use:
        secrets: [client]
        authentications:
          lab:
            oauth2:
              authority: http://login.test
              grant: client_credentials
              client: {id: hub, secret: '${ $secrets.client }'}
      do:
        - a: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/a', authentication: {use: lab}}}}
        - b: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/b', authentication: {use: lab}}}}
      """
    And the secret client is:
      """yaml
      hush-hush-17
      """
    And post http://login.test/oauth2/token answers 200 with:
      """yaml
      {access_token: token-4711, token_type: Bearer, expires_in: 3600}
      """
    And get http://a.test/a answers 200
    And get http://a.test/b answers 200
    When the workflow is executed
    Then the workflow should complete
    And POST http://login.test/oauth2/token should have been called 1 times
    And call 2 should have the header authorization with 'Bearer token-4711'
    And call 3 should have the header authorization with 'Bearer token-4711'
    And nothing that is kept should contain token-4711
    And nothing that is kept should contain hush-hush-17

  Scenario: A login that is refused is an error of authentication
    Given the tasks are:
      """yaml
      use:
        secrets: [client]
        authentications:
          lab: {oauth2: {authority: 'http://login.test', grant: client_credentials, client: {id: hub, secret: '${ $secrets.client }'}}}
      do:
        - a: {call: http, with: {method: get, endpoint: {uri: 'http://a.test/a', authentication: {use: lab}}}}
      """
    And the secret client is:
      """yaml
      hush-hush-19
      """
    And post http://login.test/oauth2/token answers 401 with:
      """yaml
      {error: invalid_client}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/authentication
      """
    And nothing that is kept should contain hush-hush-19
