Feature: Lifecycle events
  Events of the specification about workflows and tasks, where a definition asks for them.

  Scenario: A workflow tells of its beginning and end
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: workflow}}}
      do:
        - s: {set: {n: 1}}
      """
    When the workflow is executed
    Then the event io.serverlessworkflow.workflow.started.v1 should have been published 1 times
    And the event io.serverlessworkflow.workflow.completed.v1 should have been published 1 times
    And the event io.serverlessworkflow.task.started.v1 should not have been published

  Scenario: Nobody is told where nobody asked
    Given the tasks are:
      """yaml
      - s: {set: {n: 1}}
      """
    When the workflow is executed
    Then the workflow should complete
    And the event io.serverlessworkflow.workflow.started.v1 should not have been published

  Scenario: Tasks are told of, too
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: tasks}}}
      do:
        - a: {set: {n: 1}}
        - b: {wait: PT1S}
      """
    When the workflow is executed
    Then the event io.serverlessworkflow.task.started.v1 should have been published 2 times
    And the event io.serverlessworkflow.task.completed.v1 should have been published 2 times

  Scenario: A failure is told with its error
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: tasks}}}
      do:
        - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the event io.serverlessworkflow.workflow.faulted.v1 should have been published 1 times
    And the event io.serverlessworkflow.task.faulted.v1 should have been published 1 times

  Scenario: Retries, holding and cancelling are told
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: tasks}}}
      do:
        - t:
            try: [{r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}}]
            catch: {retry: {delay: PT1H, limit: {attempt: {count: 5}}}}
      """
    When the workflow is started
    Then the event io.serverlessworkflow.task.retried.v1 should have been published 1 times
    When the workflow is suspended
    Then the event io.serverlessworkflow.workflow.suspended.v1 should have been published 1 times
    When the workflow is resumed
    Then the event io.serverlessworkflow.workflow.resumed.v1 should have been published 1 times
    When the workflow is cancelled
    Then the event io.serverlessworkflow.workflow.cancelled.v1 should have been published 1 times

  Scenario Outline: Each is told once when the hub crashes <point> commit <n>
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: workflow}}}
      do:
        - w: {wait: PT2S}
      """
    And the hub crashes <point> commit <n>
    When the workflow is executed
    Then the event io.serverlessworkflow.workflow.started.v1 should have been published 1 times
    And the event io.serverlessworkflow.workflow.completed.v1 should have been published 1 times
    Examples:
      | point  | n |
      | before | 1 |
      | after  | 1 |
      | before | 2 |
      | after  | 2 |

  Scenario: What undoes tasks is told like other tasks
    Given a workflow with definition:
      """yaml
      document: {dsl: '1.0.3', namespace: suite, name: it, version: '1.0.0', metadata: {trunkline: {lifecycleEvents: tasks}}}
      do:
        - a: {metadata: {trunkline: {compensate: [{u: {wait: PT1S}}]}}, set: {n: 1}}
        - r: {raise: {error: {type: 'https://a.test/bad', status: 500}}}
      """
    When the workflow is executed
    Then the event io.serverlessworkflow.task.completed.v1 should have been published 2 times
    And the event io.serverlessworkflow.workflow.faulted.v1 should have been published 1 times
