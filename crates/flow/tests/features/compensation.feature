Feature: Undoing
  Tasks that name what undoes them are undone, the last one first, when what they belong to fails or is cancelled.

  Scenario: What was done is undone in reverse order
    Given the tasks are:
      """yaml
      - flight:
          metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: delete, endpoint: 'http://a.test/flight'}}}]}}
          call: http
          with: {method: post, endpoint: 'http://a.test/flight'}
      - hotel:
          metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: delete, endpoint: 'http://a.test/hotel'}}}]}}
          call: http
          with: {method: post, endpoint: 'http://a.test/hotel'}
      - car:
          metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: delete, endpoint: 'http://a.test/car'}}}]}}
          call: http
          with: {method: post, endpoint: 'http://a.test/car'}
      """
    And post http://a.test/flight answers 200
    And post http://a.test/hotel answers 200
    And post http://a.test/car answers 503
    And delete http://a.test/flight answers 204
    And delete http://a.test/hotel answers 204
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {status: 503, instance: /do/2/car}
      """
    And there should be 5 calls
    And call 4 should go to DELETE http://a.test/hotel
    And call 5 should go to DELETE http://a.test/flight
    And all calls should carry different keys
    And the workflow should be done with undoing

  Scenario: What completes is not undone
    Given the tasks are:
      """yaml
      - a:
          metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone}}}}}]}}
          set: {a: 1}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {a: 1}
      """
    And the event was.undone should not have been published
    And the workflow should be untouched with undoing

  Scenario: What undoes a task is given its input and output
    Given the tasks are:
      """yaml
      - a:
          metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone, data: '${ . }'}}}}}]}}
          input: {from: '{n: 7}'}
          set: {id: '${ .n + 1 }'}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And the event was.undone should have the attributes:
      """yaml
      data: {input: {n: 7}, output: {id: 8}}
      """

  Scenario: A function can undo a task
    Given the tasks are:
      """yaml
      use:
        functions:
          cancel: {emit: {event: {with: {type: was.undone, data: '${ .output }'}}}}
      do:
        - a: {metadata: {trunkline: {compensate: cancel}}, set: {a: 1}}
        - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And the event was.undone should have the attributes:
      """yaml
      data: {a: 1}
      """

  Scenario: Each round of a loop is undone
    Given the tasks are:
      """yaml
      - l:
          for: {each: it, in: '[1, 2, 3]'}
          do:
          - a:
              metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: post, endpoint: 'http://a.test/undo', body: '${ .output }'}}}]}}
              set: {n: '${ $it }'}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    And post http://a.test/undo answers 200
    When the workflow is executed
    Then the workflow should fault
    And there should be 3 calls
    And call 1 should have body:
      """yaml
      n: 3
      """
    And call 3 should have body:
      """yaml
      n: 1
      """
    And all calls should carry different keys

  Scenario: A cancelled workflow is undone before it ends
    Given the tasks are:
      """yaml
      - a:
          metadata: {trunkline: {compensate: [{wait: {wait: PT1M}}, {undo: {emit: {event: {with: {type: was.undone}}}}}]}}
          set: {a: 1}
      - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    When the workflow is started
    And the workflow is cancelled because enough
    Then the workflow should wait
    And the workflow should be running with undoing
    When the workflow is cancelled
    Then the workflow should wait
    When the workflow runs on
    Then the workflow should be cancelled because of enough
    And the workflow should be done with undoing
    And the event was.undone should have been published 1 times

  Scenario: A handler runs when what was tried is undone
    Given the tasks are:
      """yaml
      - t:
          try:
          - a:
              metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone}}}}}]}}
              set: {a: 1}
          - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
          catch:
            do:
            - h: {set: {handled: true}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {handled: true}
      """
    And the event was.undone should have been published 1 times
    And undo should run before h
    And the workflow should be done with undoing

  Scenario: What was done before a try is left alone when the error is handled
    Given the tasks are:
      """yaml
      - before:
          metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone}}}}}]}}
          set: {a: 1}
      - t:
          try:
          - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
          catch: {do: [{h: {set: {handled: true}}}]}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event was.undone should not have been published

  Scenario: Between attempts nothing is undone, and each task is undone once
    Given the tasks are:
      """yaml
      - t:
          try:
          - a:
              metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone}}}}}]}}
              call: http
              with: {method: post, endpoint: 'http://a.test/a'}
          - b: {call: http, with: {method: post, endpoint: 'http://a.test/b'}}
          catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}}
      """
    And post http://a.test/a answers 200
    And post http://a.test/b answers 503
    When the workflow is executed
    Then the workflow should fault
    And there should be 6 calls
    And the event was.undone should have been published 1 times

  Scenario: What the losers of a race did is undone
    Given the tasks are:
      """yaml
      - f:
          fork:
            compete: true
            branches:
            - slow:
                do:
                - a:
                    metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone, subject: slow}}}}}]}}
                    set: {a: 1}
                - w: {wait: PT1H}
            - fast:
                do:
                - b:
                    metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone, subject: fast}}}}}]}}
                    set: {b: 1}
                - w: {wait: PT1M}
                - s: {set: {won: fast}}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      {won: fast}
      """
    And the event was.undone should have been published 1 times
    And the event was.undone should have the attributes:
      """yaml
      subject: slow
      """

  Scenario: Undoing goes on where one thing cannot be undone
    Given the tasks are:
      """yaml
      - a: {metadata: {trunkline: {compensate: [{undoA: {emit: {event: {with: {type: was.undone}}}}}]}}, set: {a: 1}}
      - b: {metadata: {trunkline: {compensate: [{undoB: {raise: {error: {type: 'https://a.test/no', status: 400}}}}]}}, set: {b: 1}}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://a.test/bad'}
      """
    And the event was.undone should have been published 1 times
    And the workflow should be incomplete with undoing

  Scenario: What undoes may try again
    Given the tasks are:
      """yaml
      - a:
          metadata:
            trunkline:
              compensate:
              - t:
                  try: [{undo: {call: http, with: {method: post, endpoint: 'http://a.test/undo'}}}]
                  catch: {retry: {delay: PT1M, limit: {attempt: {count: 3}}}}
          set: {a: 1}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    And post http://a.test/undo answers 503
    And post http://a.test/undo answers 200
    When the workflow is executed
    Then the workflow should fault
    And there should be 2 calls
    And all calls should carry the same key
    And the workflow should be done with undoing

  Scenario: The end that undoing asks for is its own
    Given the tasks are:
      """yaml
      - a: {metadata: {trunkline: {compensate: [{undoA: {emit: {event: {with: {type: was.undone}}}}}]}}, set: {a: 1}}
      - b: {metadata: {trunkline: {compensate: [{undoB: {set: {x: 1}, then: end}}, {not: {set: {x: 2}}}]}}, set: {b: 1}}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And not should not run
    And the event was.undone should have been published 1 times

  Scenario: What undoes a whole stands for what would undo its parts
    Given the tasks are:
      """yaml
      - whole:
          metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone, subject: whole}}}}}]}}
          do:
          - part: {metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone, subject: part}}}}}]}}, set: {a: 1}}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the workflow should fault
    And the event was.undone should have been published 1 times
    And the event was.undone should have the attributes:
      """yaml
      subject: whole
      """

  Scenario: The timeout of a workflow does not stop its undoing
    Given the tasks are:
      """yaml
      timeout: {after: PT1M}
      do:
        - a:
            metadata: {trunkline: {compensate: [{wait: {wait: PT1H}}, {undo: {emit: {event: {with: {type: was.undone}}}}}]}}
            set: {a: 1}
        - w: {wait: P1D}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {status: 408}
      """
    And the event was.undone should have been published 1 times
    And the workflow should have taken PT1H1M

  Scenario: What a try was undoing when its time was over is undone around it
    Given the tasks are:
      """yaml
      - t:
          timeout: {after: PT1M}
          try:
          - a:
              metadata: {trunkline: {compensate: [{wait: {wait: PT1H}}, {undo: {call: http, with: {method: post, endpoint: 'http://a.test/undo'}}}]}}
              set: {a: 1}
          - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
          catch: {do: [{h: {set: {handled: true}}}]}
      """
    And post http://a.test/undo answers 200
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {status: 408}
      """
    And there should be 1 calls
    And the workflow should be done with undoing

  Scenario: A child that its parent drops is undone
    Given another workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: child, version: '1.0.0'}
      do:
        - a: {metadata: {trunkline: {compensate: [{undo: {emit: {event: {with: {type: was.undone}}}}}]}}, set: {a: 1}}
        - w: {wait: P1D}
      """
    And the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: latest}}}
      """
    When the workflow is started
    And the workflow is cancelled
    Then 2 instances should have been cancelled
    And the event was.undone should have been published 1 times

  Scenario: A place is held until everything is undone
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {concurrency: {}}}}
      do:
        - a: {metadata: {trunkline: {compensate: [{wait: {wait: PT1H}}]}}, set: {a: 1}}
        - l: {listen: {to: {one: {with: {type: never}}}}}
      """
    When the workflow is started
    And the workflow is cancelled
    And the workflow is started
    And PT59M passes
    Then 2 instances should wait
    When PT1M passes
    Then 1 instances should have been cancelled
    And the workflow should wait
    And the workflow should be untouched with undoing

  Scenario Outline: A crash <point> commit <n> undoes everything once
    Given the tasks are:
      """yaml
      - a:
          metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: delete, endpoint: 'http://a.test/a'}}}, {told: {emit: {event: {with: {type: was.undone}}}}}]}}
          call: http
          with: {method: post, endpoint: 'http://a.test/a'}
      - b:
          metadata: {trunkline: {compensate: [{undo: {call: http, with: {method: delete, endpoint: 'http://a.test/b'}}}, {told: {emit: {event: {with: {type: was.undone}}}}}]}}
          call: http
          with: {method: post, endpoint: 'http://a.test/b'}
      - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    And post http://a.test/a answers 200
    And post http://a.test/b answers 200
    And delete http://a.test/a answers 200
    And delete http://a.test/b answers 200
    And the hub crashes <point> commit <n>
    When the workflow is executed
    Then the workflow should fault
    And the event was.undone should have been published 2 times
    And the workflow should be done with undoing
    Examples:
      | point  | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
      | after  | 2 |
      | before | 3 |
      | after  | 3 |
      | before | 4 |
      | after  | 4 |
      | before | 5 |
      | after  | 5 |

  Scenario Outline: What undoes a task is refused where it is <what>
    Given the tasks are:
      """yaml
      - a: {metadata: {trunkline: {compensate: <undo>}}, set: {a: 1}}
      """
    When the workflow is published
    Then the definition should be refused because of '<why>'
    Examples:
      | what                 | undo                       | why     |
      | nothing              | []                         | rule 39 |
      | an unknown function  | nobody                     | rule 25 |
      | no task              | [{u: {sett: {}}}]          | rule 39 |
      | a variable of a loop | [{u: {set: {a: '${ $it }'}}}] | rule 38 |
