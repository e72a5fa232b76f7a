Feature: Workflows that run workflows
  `run.workflow`: input, output, errors, cancelling, versions.

  Background:
    Given another workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: child, version: '1.0.0'}
      do:
        - w: {wait: PT5S}
        - s: {set: {doubled: '${ .n * 2 }'}}
      """
    And another workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: bad, version: '1.0.0'}
      do:
        - r: {raise: {error: {type: 'https://a.test/bad', status: 418}}}
      """

  Scenario: The output of the other is the output of the task
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: '1.0.0', input: {n: '${ .n }'}}}}
      - s: {set: {got: '${ .doubled }'}}
      """
    And the workflow input is:
      """yaml
      n: 4
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      got: 8
      """
    And the workflow should have taken PT5S
    And 2 instances should have completed

  Scenario: Without an input it gets that of the task
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: latest}}}
      """
    And the workflow input is:
      """yaml
      n: 5
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      doubled: 10
      """

  Scenario: An error of the other is one of the task
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: bad, version: latest}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      {type: 'https://a.test/bad', status: 418, instance: /do/0/c}
      """

  Scenario: An error of the other can be caught
    Given the tasks are:
      """yaml
      - t:
          try: [{c: {run: {workflow: {namespace: suite, name: bad, version: latest}}}}]
          catch: {do: [{s: {set: {caught: '${ $error.status }'}}}]}
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      caught: 418
      """

  Scenario: What does not exist cannot be run
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: nobody, version: latest}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/configuration
      status: 400
      """

  Scenario: A version that does not exist cannot be run
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: '9.9.9'}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      type: https://open-workflow-specification.org/spec/1.0.0/errors/configuration
      """

  Scenario: Whoever is cancelled cancels what it runs
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: latest, input: {n: 1}}}}
      """
    When the workflow is started
    And the workflow is cancelled
    And PT1M passes
    Then the workflow should cancel
    And 2 instances should have been started
    And 0 instances should have completed

  Scenario: A timeout ends what is run
    Given the tasks are:
      """yaml
      - c: {timeout: {after: PT2S}, run: {workflow: {namespace: suite, name: child, version: latest, input: {n: 1}}}}
      """
    When the workflow is executed
    Then the workflow should fault with error:
      """yaml
      status: 408
      """
    And 0 instances should have completed

  Scenario: What is not waited for goes on by itself
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: latest, input: {n: 1}}, await: false}}
      - s: {set: {done: true}}
      """
    When the workflow is started
    Then the workflow should complete with output:
      """yaml
      done: true
      """
    When PT5S passes
    Then 2 instances should have completed

  Scenario: A loop runs one for each item
    Given the tasks are:
      """yaml
      - l:
          for: {each: n, in: '[1, 2, 3]'}
          do: [{c: {run: {workflow: {namespace: suite, name: child, version: latest, input: {n: '${ $n }'}}}}}]
      """
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      doubled: 6
      """
    And 4 instances should have completed
    And the workflow should have taken PT15S

  Scenario Outline: A crash <side> commit <n> starts no second one
    Given the tasks are:
      """yaml
      - c: {run: {workflow: {namespace: suite, name: child, version: latest, input: {n: 1}}}}
      """
    And the hub crashes <side> commit <n>
    When the workflow is executed
    Then the workflow should complete with output:
      """yaml
      doubled: 2
      """
    And 2 instances should have been started
    Examples:
      | side   | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
      | after  | 2 |
      | before | 3 |
      | after  | 3 |
