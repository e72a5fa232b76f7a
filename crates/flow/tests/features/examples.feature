Feature: Official examples
  The examples of the specification that need no outside service which is not there, run to their ends. Stand-ins answer for
  the services that they call. Not here: containers (rule 22), channels of brokers, `file://` documents, and tools that npx fetches.

  Scenario: authentication-bearer
    Given the official example authentication-bearer.yaml
    And the workflow input is:
      """yaml
      token: t-1
      """
    When the workflow is executed
    Then the workflow output should have properties 'id', 'name'
    And call 1 should go to GET https://petstore.swagger.io/v2/pet/1
    And call 1 should have the header authorization with 'Bearer t-1'

  Scenario: authentication-bearer-uri-format
    Given the official example authentication-bearer-uri-format.yaml
    And the workflow input is:
      """yaml
      {petId: 7, token: t-1}
      """
    When the workflow is executed
    Then the workflow should complete
    And call 1 should go to GET https://petstore.swagger.io/v2/pet/7
    And call 1 should have the header authorization with 'Bearer t-1'

  Scenario: authentication-reusable
    Given the official example authentication-reusable.yaml
    And the workflow input is:
      """yaml
      {petId: 8, token: t-2}
      """
    When the workflow is executed
    Then the workflow should complete
    And call 1 should go to GET https://petstore.swagger.io/v2/pet/8
    And call 1 should have the header authorization with 'Bearer t-2'

  Scenario: authentication-oauth2-secret
    Given the official example authentication-oauth2-secret.yaml
    And the secret mySecret is:
      """yaml
      authority: https://keycloak.test
      grant: client_credentials
      client: {id: runtime, secret: hush}
      """
    And POST https://keycloak.test/oauth2/token answers 200 with:
      """yaml
      {access_token: at-1, token_type: Bearer, expires_in: 60}
      """
    And the workflow input is:
      """yaml
      petId: 9
      """
    When the workflow is executed
    Then the workflow should complete
    And call 2 should go to GET https://petstore.swagger.io/v2/pet/9
    And call 2 should have the header authorization with 'Bearer at-1'
    And nothing that is kept should contain hush

  Scenario: authentication-oidc-secret
    Given the official example authentication-oidc-secret.yaml
    And the secret mySecret is:
      """yaml
      authority: https://keycloak.test/realms/pets
      grant: client_credentials
      client: {id: runtime, secret: hush}
      """
    And GET https://keycloak.test/realms/pets/.well-known/openid-configuration answers 200 with:
      """yaml
      {issuer: 'https://keycloak.test/realms/pets', token_endpoint: 'https://keycloak.test/token'}
      """
    And POST https://keycloak.test/token answers 200 with:
      """yaml
      {access_token: at-2, token_type: Bearer, expires_in: 60}
      """
    And the workflow input is:
      """yaml
      petId: 9
      """
    When the workflow is executed
    Then the workflow should complete
    And call 3 should go to GET https://petstore.swagger.io/v2/pet/9
    And call 3 should have the header authorization with 'Bearer at-2'

  Scenario Outline: <example> writes its credentials out
    Given the official example <example>.yaml
    When the workflow is published
    Then the definition should be refused because of 24
    Examples:
      | example               |
      | authentication-oauth2 |
      | authentication-oidc   |

  Scenario: call-custom-function-cataloged
    Given the official example call-custom-function-cataloged.yaml
    And GET https://raw.githubusercontent.com/serverlessworkflow/catalog/main/functions/log/1.0.0/function.yaml answers with:
      """yaml
      body: 'set: {logged: "${ .level + \": \" + .message }"}'
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      logged: 'information: Hello, world!'
      """

  Scenario: call-custom-function-inline
    Given the official example call-custom-function-inline.yaml
    When the workflow is executed
    Then the workflow output should have a id property with value:
      """yaml
      69
      """

  Scenario Outline: <example>
    Given the official example <example>.yaml
    And the workflow input is:
      """yaml
      petId: 12
      """
    When the workflow is executed
    Then the workflow output should have a id property with value:
      """yaml
      12
      """
    And call 1 should go to GET https://petstore.swagger.io/v2/pet/12
    Examples:
      | example                              |
      | call-http-endpoint-interpolation     |
      | call-http-endpoint-interpolation-shorthand |
      | do-single                            |
      | try-catch                            |
      | try-catch-retry-inline               |
      | try-catch-retry-reusable             |

  Scenario Outline: <example>
    Given the official example <example>.yaml
    And the workflow input is:
      """yaml
      searchQuery: skywalker
      """
    And GET https://swapi.dev/api/people/?search=skywalker answers 200 with:
      """yaml
      {count: 1, results: [{name: Luke Skywalker}]}
      """
    When the workflow is executed
    Then the workflow output should have a count property with value:
      """yaml
      1
      """
    Examples:
      | example                             |
      | call-http-query-headers-expressions |
      | call-http-query-parameters          |
      | call-http-redirect                  |

  Scenario: call-http-query-parameters without what its schema wants
    Given the official example call-http-query-parameters.yaml
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 400
      """
    And there should be 0 calls

  Scenario Outline: <example>
    Given the official example <example>.yaml
    When the workflow is executed
    Then the workflow should complete
    And call 2 should go to GET https://petstore.swagger.io/v2/pet/findByStatus?status=available
    Examples:
      | example               |
      | call-openapi          |
      | call-openapi-redirect |

  Scenario: conditional-task of a minor
    Given the official example conditional-task.yaml
    And the workflow input is:
      """yaml
      {customer: {age: 17}, bet: {}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://superbet-casinos.com/customer/access-forbidden', status: 400, title: Access Forbidden}
      """
    And there should be 0 calls

  Scenario: conditional-task of somebody of age
    Given the official example conditional-task.yaml
    And POST https://superbet-casinos.com/api/bet/on/football answers 200 with:
      """yaml
      placed: true
      """
    And the workflow input is:
      """yaml
      {customer: {age: 18}, bet: {}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      placed: true
      """

  Scenario: do-multiple
    Given the official example do-multiple.yaml
    And GET https://petstore.swagger.io/v2/pet/5 answers 200 with:
      """yaml
      {id: 5, petId: 5, name: Rex}
      """
    And PUT https://petstore.swagger.io/v2/pet/5 answers 200 with:
      """yaml
      sold: true
      """
    And the workflow input is:
      """yaml
      petId: 5
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      sold: true
      """
    And call 2 should have body:
      """yaml
      {id: 5, petId: 5, name: Rex, status: sold}
      """

  Scenario: emit
    Given the official example emit.yaml
    When the workflow is executed
    Then the workflow should complete
    And the event com.petstore.order.placed.v1 should have been published 1 times
    And the event com.petstore.order.placed.v1 should have the attributes:
      """yaml
      source: https://petstore.com
      """

  Scenario: for-inline-array
    Given the official example for-inline-array.yaml
    And the workflow input is:
      """yaml
      processed: []
      """
    When the workflow is executed
    Then the workflow output should have a processed property containing 3 items
    And setProcessed should run 3 times

  Scenario: for
    Given the official example for.yaml
    And the workflow input is:
      """yaml
      {vet: v, pets: [{id: 1}]}
      """
    When the workflow is started
    Then the workflow should wait
    When an event arrives:
      """yaml
      type: com.fake.petclinic.pets.checkup.completed.v2
      """
    Then waitForCheckup should run 1 times

  Scenario: fork
    Given the official example fork.yaml
    And PUT https://fake-hospital.com/api/v3/alert/nurses answers 200 with:
      """yaml
      by: nurse
      """
    And PUT https://fake-hospital.com/api/v3/alert/doctor never answers
    And the workflow input is:
      """yaml
      {patient: {fullName: Ann}, room: {number: 12}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      by: nurse
      """
    And call 1 should have body:
      """yaml
      {patientId: Ann, room: 12}
      """
    And callDoctor should cancel

  Scenario: listen-to-all
    Given the official example listen-to-all.yaml
    When the workflow is started
    And events arrive:
      """yaml
      - {type: com.fake-hospital.vitals.measurements.temperature, data: {temperature: 37}}
      - {type: com.fake-hospital.vitals.measurements.bpm, data: {bpm: 110}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: com.fake-hospital.vitals.measurements.temperature, data: {temperature: 39}}
      """
    Then the workflow should complete with output:
      """yaml
      - {bpm: 110}
      - {temperature: 39}
      """

  Scenario: listen-to-all read-envelope
    Given the official example 'listen-to-all read-envelope.yaml'
    When the workflow is started
    And events arrive:
      """yaml
      - {type: com.fake-hospital.vitals.measurements.temperature, data: {temperature: 39}}
      - {type: com.fake-hospital.vitals.measurements.bpm, data: {bpm: 50}}
      """
    Then the workflow should complete
    And callDoctor should run 1 times

  Scenario: listen-to-any-filter
    Given the official example listen-to-any-filter.yaml
    When the workflow is started
    And events arrive:
      """yaml
      - {type: com.fake-hospital.vitals.measurements.bpm, data: {bpm: 80}}
      - {type: com.fake-hospital.vitals.measurements.bpm, data: {bpm: 40}}
      """
    Then the workflow should complete with output:
      """yaml
      - {bpm: 40}
      """

  Scenario: listen-to-any
    Given the official example listen-to-any.yaml
    When the workflow is started
    And an event arrives:
      """yaml
      {type: whatever.it.is, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      - {n: 1}
      """

  Scenario: listen-to-any-until-condition
    Given the official example listen-to-any-until-condition.yaml
    When the workflow is started
    And events arrive:
      """yaml
      - {type: a.b, data: {n: 1}}
      - {type: a.b, data: {n: 2}}
      - {type: a.b, data: {n: 3}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: a.b, data: {n: 4}}
      """
    Then the workflow should complete with output:
      """yaml
      [{n: 1}, {n: 2}, {n: 3}, {n: 4}]
      """

  Scenario: listen-to-any-until-consumed
    Given the official example listen-to-any-until-consumed.yaml
    When the workflow is started
    And events arrive:
      """yaml
      - {type: com.fake-hospital.vitals.measurements.bpm, data: {bpm: 40}}
      - {type: com.fake-hospital.vitals.measurements.temperature, data: {temperature: 40}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      type: com.fake-hospital.patient.checked-out
      """
    Then the workflow should complete with output:
      """yaml
      - {bpm: 40}
      - {temperature: 40}
      """

  Scenario: listen-to-any-forever-foreach
    Given the official example listen-to-any-forever-foreach.yaml
    And POST https://fake-chat-api.com/room/lobby answers 200 with:
      """yaml
      roomId: lobby
      """
    When the workflow is started with:
      """yaml
      roomId: lobby
      """
    And events arrive:
      """yaml
      - {type: gossip.heard, data: {roomId: lobby, n: 1}}
      - {type: gossip.heard, data: {roomId: lobby, n: 2}}
      """
    Then the workflow should wait
    And POST https://fake-chat-api.com/room/lobby should have been called 2 times
    When the workflow is cancelled
    Then the workflow should cancel

  Scenario: listen-to-one
    Given the official example listen-to-one.yaml
    And the workflow input is:
      """yaml
      carId: 4
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: com.virtual-wf-powered-race.events.race.started.v1, data: {carId: 4}}
      """
    Then waitForStartup should complete

  # Its condition asks an object whether it starts with a text, which jq refuses.
  Scenario: mock-service-extension
    Given the official example mock-service-extension.yaml
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/expression', status: 400}
      """
    And there should be 0 calls

  Scenario Outline: <example>
    Given the official example <example>.yaml
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://serverlessworkflow.io/errors/not-implemented', status: 500, title: Not Implemented}
      """
    And the error detail should contain 'raise-not-implemented:0.1.0'
    Examples:
      | example        |
      | raise-inline   |
      | raise-reusable |

  Scenario Outline: <example>
    Given the official example <example>.yaml
    When the workflow is published
    Then the definition should be refused because of 22
    Examples:
      | example                             |
      | run-container                       |
      | run-container-cleanup-always        |
      | run-container-cleanup-eventually    |
      | run-container-stdin-and-arguments   |
      | run-container-with-name             |
      | run-container-with-pull-policy      |
      | run-return-all                      |
      | run-return-code                     |
      | run-return-none                     |
      | run-return-stderr                   |

  Scenario: run-subflow
    Given the official example run-subflow.yaml
    And another workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: test, name: register-customer, version: '0.1.0'}
      do: [{s: {set: {registered: '${ .customer }'}}}]
      """
    And the workflow input is:
      """yaml
      user: ann
      """
    When the workflow is executed
    Then the workflow should complete
    And 2 instances should have completed

  Scenario: run-shell-stdin-and-arguments
    Given the official example run-shell-stdin-and-arguments.yaml
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      "STDIN was: Hello World\nARGS are Foo Bar\n"
      """

  Scenario: schedule-cron
    Given the official example schedule-cron.yaml
    And POST https://example.com/api/v1/backup/start answers 200
    When the workflow is published
    And P2D passes
    Then 2 instances should have completed
    And POST https://example.com/api/v1/backup/start should have been called 2 times

  # The next three were written before `read`, which is `data` unless said otherwise: the input has no envelopes.
  Scenario: schedule-event-driven
    Given the official example schedule-event-driven.yaml
    And POST https://hospital.example.com/api/v1/notify answers 200
    When the workflow is published
    And an event arrives:
      """yaml
      type: com.example.hospital.events.patients.heartbeat.low
      data: {data: {timestamp: now, patient: {id: p-1, name: Ann, room: {number: 12}, vitals: {bpm: 30}}}}
      """
    Then the workflow should complete
    And call 1 should have body:
      """yaml
      patientId: p-1
      patientName: Ann
      roomNumber: 12
      vitals: {heartRate: 30, timestamp: now}
      message: "Alert: Patient's heartbeat is critically low. Immediate attention required."
      """

  Scenario: set
    Given the official example set.yaml
    When the workflow is published
    And an event arrives:
      """yaml
      {type: io.serverlessworkflow.samples.events.trigger.v1, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      startEvent: {n: 1}
      """

  Scenario: set-expression
    Given the official example set-expression.yaml
    When the workflow is published
    And an event arrives:
      """yaml
      {type: io.serverlessworkflow.samples.events.trigger.v1, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      n: 1
      """

  Scenario: star-wars-homeworld
    Given the official example star-wars-homeworld.yaml
    And GET https://swapi.dev/api/people/1 answers 200 with:
      """yaml
      {name: Luke, homeworld: 'https://swapi.dev/api/planets/1'}
      """
    And GET https://swapi.dev/api/planets/1 answers 200 with:
      """yaml
      name: Tatooine
      """
    And the workflow input is:
      """yaml
      id: 1
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      name: Tatooine
      """

  Scenario Outline: switch-then-string, <kind>
    Given the official example switch-then-string.yaml
    And the workflow input is:
      """yaml
      orderType: <kind>
      """
    When the workflow is executed
    Then <task> should complete
    And the workflow should complete
    Examples:
      | kind       | task                   |
      | electronic | processElectronicOrder |
      | physical   | processPhysicalOrder   |
      | other      | handleUnknownOrderType |

  Scenario: try-catch of what is not there
    Given the official example try-catch.yaml
    And the workflow input is:
      """yaml
      petId: 4711
      """
    When the workflow is executed
    Then the workflow should complete
    And getPet should fault

  Scenario Outline: <example> of a service that comes back
    Given the official example <example>.yaml
    And GET https://petstore.swagger.io/v2/pet/12 answers 503
    And GET https://petstore.swagger.io/v2/pet/12 answers 503
    And GET https://petstore.swagger.io/v2/pet/12 answers 200 with:
      """yaml
      id: 12
      """
    And the workflow input is:
      """yaml
      petId: 12
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      id: 12
      """
    And getPet should run 3 times
    Examples:
      | example                  |
      | try-catch-retry-inline   |
      | try-catch-retry-reusable |

  Scenario: try-catch-then-directive
    Given the official example try-catch-then-directive.yaml
    And GET https://external-service.example.com/api answers 503
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      status: failed
      """
    And continueProcessing should not run

  Scenario: try-catch-then of what is not there
    Given the official example try-catch-then.yaml
    And the workflow input is:
      """yaml
      petId: 4711
      """
    When the workflow is executed
    Then the workflow should complete
    And the event io.swagger.petstore.events.pets.not-found.v1 should have been published 1 times
    And buyPet should not run

  Scenario Outline: <example>
    Given the official example <example>.yaml
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have taken PT30S
    Examples:
      | example               |
      | wait-duration-inline  |
      | wait-duration-iso8601 |
