Feature: Calls over HTTP
  Methods, templates, headers, queries, bodies, answers, authentication, keys (rules 18 and 24).

  Scenario Outline: A call with <method>
    Given <method> https://a.test/x answers 200 with:
      """yaml
      ok: true
      """
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: <given>, endpoint: 'https://a.test/x'}}
      """
    When the workflow is executed
    Then the workflow should complete
    And call 1 should go to <method> https://a.test/x
    Examples:
      | method | given  |
      | GET    | get    |
      | POST   | post   |
      | PUT    | PUT    |
      | PATCH  | patch  |
      | DELETE | delete |
      | HEAD   | head   |

  Scenario: A method that does not exist is refused
    Given the tasks are:
      """yaml
      - c: {call: http, with: {method: paint, endpoint: 'https://a.test/x'}}
      """
    When the workflow is published
    Then the definition should be refused because of 'paint'

  Scenario Outline: A template with <value>
    Given the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://httpbin.org/anything/{id}'}, output: {as: .url}}
      """
    And the workflow input is:
      """yaml
      id: <value>
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      <url>
      """
    Examples:
      | value     | url                                   |
      | 17        | https://httpbin.org/anything/17       |
      | a b/c     | https://httpbin.org/anything/a%20b%2Fc |
      | true      | https://httpbin.org/anything/true     |
      | null      | https://httpbin.org/anything/         |
      | '?x=1&y'  | https://httpbin.org/anything/%3Fx%3D1%26y |

  Scenario: A template with a list is an error
    Given the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://httpbin.org/anything/{id}'}}
      """
    And the workflow input is:
      """yaml
      id: [1]
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/expression
      """

  Scenario: An endpoint may be an expression
    Given GET https://a.test/7 answers 200 with:
      """yaml
      seven
      """
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: '${ "https://a.test/\(.n)" }'}}
      """
    And the workflow input is:
      """yaml
      n: 7
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      seven
      """

  Scenario: Headers, query and body
    Given the tasks are:
      """yaml
      - c:
          call: http
          with:
            method: post
            endpoint: https://httpbin.org/anything
            headers: {X-One: '${ .one }', X-Two: two}
            query: {q: '${ .one }', more: '${ .n }'}
            body: {n: '${ .n }', fixed: [true]}
          output: {as: '${ {args, json, one: .headers["x-one"], two: .headers["x-two"], type: .headers["content-type"]} }'}
      """
    And the workflow input is:
      """yaml
      {one: eins, n: 3}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      args: {q: eins, more: '3'}
      json: {n: 3, fixed: [true]}
      one: eins
      two: two
      type: application/json
      """

  Scenario: A text is sent as it is
    Given POST https://a.test/x answers 200
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: post, endpoint: 'https://a.test/x', body: '${ "plain" }'}}
      """
    When the workflow is executed
    Then call 1 should have body:
      """yaml
      plain
      """

  Scenario: The answer's content by its type
    Given GET https://a.test/json answers 200 with:
      """yaml
      n: 1
      """
    And GET https://a.test/text answers 200 with:
      """yaml
      hello
      """
    And GET https://a.test/empty answers 204
    And the tasks are:
      """yaml
      - all:
          fork:
            branches:
              - json: {call: http, with: {method: get, endpoint: 'https://a.test/json'}}
              - text: {call: http, with: {method: get, endpoint: 'https://a.test/text'}}
              - empty: {call: http, with: {method: get, endpoint: 'https://a.test/empty'}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      [{n: 1}, hello, null]
      """

  Scenario: The answer as it came
    Given GET https://a.test/ answers 200 with:
      """yaml
      hello
      """
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/', output: raw}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      aGVsbG8=
      """

  Scenario: The whole answer
    Given GET https://a.test/ answers with:
      """yaml
      status: 201
      headers: {X-Kind: test}
      body: {n: 1}
      """
    And the tasks are:
      """yaml
      - c:
          call: http
          with: {method: get, endpoint: 'https://a.test/', output: response}
          output: {as: '${ {statusCode, content, kind: .headers["x-kind"], method: .request.method, uri: .request.uri} }'}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {statusCode: 201, content: {n: 1}, kind: test, method: GET, uri: 'https://a.test/'}
      """

  Scenario Outline: A status of <status>
    Given GET https://a.test/ answers <status>
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      """
    When the workflow is executed
    Then <sentence>
    Examples:
      | status | sentence                     |
      | 200    | the workflow should complete |
      | 201    | the workflow should complete |
      | 204    | the workflow should complete |
      | 301    | the workflow should fault    |
      | 304    | the workflow should fault    |
      | 400    | the workflow should fault    |
      | 404    | the workflow should fault    |
      | 429    | the workflow should fault    |
      | 500    | the workflow should fault    |
      | 503    | the workflow should fault    |

  Scenario: A redirect is an answer where that is asked for
    Given GET https://a.test/ answers with:
      """yaml
      status: 302
      headers: {location: 'https://b.test/'}
      """
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/', redirect: true, output: response}, output: {as: .statusCode}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      302
      """
    And there should be 1 calls

  Scenario: What cannot be reached is an error of communication
    Given GET https://a.test/ breaks off
    And the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/communication
      instance: /do/0/c
      """

  Scenario Outline: <what> may not be reached
    Given the tasks are:
      """yaml
      - c: {call: http, with: {method: get, endpoint: '${ .url }'}}
      """
    And the workflow input is:
      """yaml
      url: <url>
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/configuration
      """
    And there should be 0 calls
    Examples:
      | what               | url                              |
      | The machine itself | http://127.0.0.1/                |
      | Its private net    | http://10.0.0.1/                 |
      | Cloud metadata     | http://169.254.169.254/latest    |
      | A file             | file:///etc/passwd               |
      | No URL             | nonsense                         |

  Scenario: Basic authentication
    Given the tasks are:
      """yaml
      - c:
          call: http
          with:
            method: get
            endpoint:
              uri: https://httpbin.org/basic-auth/ann/secret
              authentication: {basic: {username: '${ .user }', password: '${ .password }'}}
      """
    And the workflow input is:
      """yaml
      {user: ann, password: secret}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {authenticated: true, user: ann}
      """

  Scenario: Basic authentication with a wrong password
    Given the tasks are:
      """yaml
      - c:
          call: http
          with:
            method: get
            endpoint:
              uri: https://httpbin.org/basic-auth/ann/secret
              authentication: {basic: {username: '${ .user }', password: '${ .user }'}}
      """
    And the workflow input is:
      """yaml
      {user: ann}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 401
      """

  Scenario: A bearer token
    Given the tasks are:
      """yaml
      - c:
          call: http
          with:
            method: get
            endpoint: {uri: 'https://httpbin.org/bearer', authentication: {bearer: {token: '${ .token }'}}}
      """
    And the workflow input is:
      """yaml
      token: abc
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {authenticated: true, token: abc}
      """

  Scenario: Reusable authentication
    Given the tasks are:
      """yaml
      use:
        authentications:
          mine: {bearer: {token: '${ .token }'}}
      do:
        - c:
            call: http
            with:
              method: get
              endpoint: {uri: 'https://httpbin.org/bearer', authentication: {use: mine}}
      """
    And the workflow input is:
      """yaml
      token: abc
      """
    When the workflow is executed
    Then the workflow should complete

  Scenario Outline: <what> in plain sight is refused
    Given the tasks are:
      """yaml
      - c:
          call: http
          with:
            method: get
            endpoint: {uri: 'https://a.test/', authentication: <authentication>}
      """
    When the workflow is published
    Then the definition should be refused because of 'rule 24'
    Examples:
      | what       | authentication                              |
      | A token    | {bearer: {token: abc}}                      |
      | A password | {basic: {username: ann, password: secret}}  |

  Scenario: A call carries a key
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - a: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
      - b: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
      """
    When the workflow is executed
    Then the workflow should complete
    And all calls should carry different keys

  Scenario: A call may be given its key
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - a:
          call: http
          with: {method: post, endpoint: 'https://a.test/'}
          metadata: {trunkline: {idempotency: {key: '${ .order }'}}}
      """
    And the workflow input is:
      """yaml
      order: o-17
      """
    When the workflow is executed
    Then call 1 should have the header Idempotency-Key with o-17

  Scenario: A task of a loop that comes again has another key
    Given POST https://a.test/ answers 200
    And the tasks are:
      """yaml
      - count: {set: {n: '${ .n + 1 }'}, export: {as: '${ {n: .n} }'}}
      - c: {call: http, with: {method: post, endpoint: 'https://a.test/'}}
      - again: {set: {n: '${ $context.n }'}}
      - more: {switch: [{yes: {when: .n < 3, then: count}}]}
      """
    And the workflow input is:
      """yaml
      n: 0
      """
    When the workflow is executed
    Then there should be 3 calls
    And all calls should carry different keys

  Scenario: An effect is one record
    Given GET https://a.test/ answers 200
    And the tasks are:
      """yaml
      - a: {set: {n: 1}}
      - c: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      - b: {set: {n: 2}}
      - d: {call: http, with: {method: get, endpoint: 'https://a.test/'}}
      - e: {set: {n: 3}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the workflow should have 4 records
