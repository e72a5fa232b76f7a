Feature: Listen
  One, any, all; until, foreach, correlation, read modes (rule 12).

  Scenario: One event of a type
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: order.paid, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      [{n: 1}]
      """

  Scenario: Events of other types are not taken
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.made, data: {n: 1}}
      """
    Then the workflow should wait

  Scenario: An event from before the task began is not taken
    Given the tasks are:
      """yaml
      - w: {wait: PT10S}
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.paid, data: {n: 1}}
      """
    And PT10S passes
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: order.paid, data: {n: 2}}
      """
    Then the workflow should complete with output:
      """yaml
      [{n: 2}]
      """

  Scenario Outline: A filter of <attribute> that is <value>
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid, <attribute>: '<value>'}}}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.paid, subject: order-17, source: /shop, data: {n: 5}, region: eu}
      """
    Then <sentence>
    Examples:
      | attribute | value              | sentence                     |
      | subject   | order-17           | the workflow should complete |
      | subject   | order-1            | the workflow should wait     |
      | subject   | order-.*           | the workflow should complete |
      | subject   | order-[0-9]        | the workflow should wait     |
      | source    | /shop              | the workflow should complete |
      | source    | /other             | the workflow should wait     |
      | region    | eu                 | the workflow should complete |
      | region    | us                 | the workflow should wait     |
      | data      | ${ .n == 5 }       | the workflow should complete |
      | data      | ${ .n > 5 }        | the workflow should wait     |
      | data      | ${ .n.m.o }        | the workflow should wait     |

  Scenario: A filter sees the input of the task
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid, data: '${ .id == $input.id }'}}}}}
      """
    And the workflow input is:
      """yaml
      id: 7
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: order.paid, data: {id: 6}}
      - {type: order.paid, data: {id: 7}}
      """
    Then the workflow should complete with output:
      """yaml
      [{id: 7}]
      """

  Scenario Outline: What is read as <read>
    Given the tasks are:
      """yaml
      - l:
          listen: {to: {one: {with: {type: order.paid}}}, read: <read>}
          output: {as: '<as>'}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.paid, subject: s, data: {n: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      <output>
      """
    Examples:
      | read     | as                      | output |
      | data     | .[0].n                  | 1      |
      | envelope | [.[0].subject, .[0].data.n] | [s, 1] |

  Scenario: Any of several events is enough
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: a.done}}, {with: {type: b.done}}]}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: b.done, data: {b: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      [{b: 1}]
      """

  Scenario: Any without filters takes any event
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: []}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: what.ever, data: {x: 1}}
      """
    Then the workflow should complete with output:
      """yaml
      [{x: 1}]
      """

  Scenario: Any until a condition holds
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: tick.made}}], until: '(map(.n) | add) >= 6'}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: tick.made, data: {n: 1}}
      - {type: tick.made, data: {n: 2}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: tick.made, data: {n: 3}}
      """
    Then the workflow should complete with output:
      """yaml
      [{n: 1}, {n: 2}, {n: 3}]
      """

  Scenario: Any until another event comes
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: tick.made}}], until: {one: {with: {type: tick.over}}}}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: tick.made, data: 1}
      - {type: tick.made, data: 2}
      - {type: tick.over, data: 3}
      """
    Then the workflow should complete with output:
      """yaml
      [1, 2]
      """

  Scenario: Any until one of several comes
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: tick.made}}], until: {any: [{with: {type: a.over}}, {with: {type: b.over}}]}}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: tick.made, data: 1}
      - {type: b.over, data: 3}
      """
    Then the workflow should complete with output:
      """yaml
      [1]
      """

  Scenario: Any until all of several came
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: tick.made}}], until: {all: [{with: {type: a.over}}, {with: {type: b.over}}]}}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: a.over, data: 0}
      - {type: tick.made, data: 1}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: b.over, data: 3}
      """
    Then the workflow should complete with output:
      """yaml
      [1]
      """

  Scenario: All events in any order
    Given the tasks are:
      """yaml
      - l: {listen: {to: {all: [{with: {type: a.done}}, {with: {type: b.done}}, {with: {type: c.done}}]}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: c.done, data: c}
      - {type: a.done, data: a}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: b.done, data: b}
      """
    Then the workflow should complete with output:
      """yaml
      [c, a, b]
      """

  Scenario: Each filter of all takes one event
    Given the tasks are:
      """yaml
      - l: {listen: {to: {all: [{with: {type: a.done}}, {with: {type: b.done}}]}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: a.done, data: 1}
      - {type: a.done, data: 2}
      - {type: b.done, data: 3}
      """
    Then the workflow should complete with output:
      """yaml
      [1, 3]
      """

  Scenario: Events of all are tied by what they carry
    Given the tasks are:
      """yaml
      - l:
          listen:
            to:
              all:
                - {with: {type: a.done}, correlate: {id: {from: .data.id}}}
                - {with: {type: b.done}, correlate: {id: {from: .data.id}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: a.done, data: {id: 1}}
      - {type: b.done, data: {id: 2}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: b.done, data: {id: 1, more: true}}
      """
    Then the workflow should complete with output:
      """yaml
      [{id: 1}, {id: 1, more: true}]
      """

  Scenario: An event is tied to the instance by what is expected
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: lab.done}, correlate: {case: {from: .data.case, expect: '${ .case }'}}}}}}
      """
    And the workflow input is:
      """yaml
      case: 7
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: lab.done, data: {case: 8}}
      """
    Then the workflow should wait
    When an event arrives:
      """yaml
      {type: lab.done, data: {case: 7}}
      """
    Then the workflow should complete

  Scenario: Correlation begins anew in each round of a loop
    Given the tasks are:
      """yaml
      - loop:
          for: {in: '[1, 2]'}
          do:
            - l:
                listen:
                  to:
                    all:
                      - {with: {type: a.done}, correlate: {id: {from: .data}}}
                      - {with: {type: b.done}, correlate: {id: {from: .data}}}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: a.done, data: 1}
      - {type: b.done, data: 1}
      - {type: a.done, data: 2}
      - {type: b.done, data: 2}
      """
    Then the workflow should complete with output:
      """yaml
      [2, 2]
      """
    And l should run 2 times

  Scenario: Each event is handled, one after the other
    Given the tasks are:
      """yaml
      - l:
          listen: {to: {any: [{with: {type: tick.made}}], until: 'length >= 3'}}
          foreach:
            item: it
            at: nth
            do:
              - w: {wait: PT1M}
              - s: {set: {n: '${ $it.n * 10 + $nth }'}}
            output: {as: .n}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: tick.made, data: {n: 1}}
      - {type: tick.made, data: {n: 2}}
      - {type: tick.made, data: {n: 3}}
      """
    Then the workflow should wait
    When PT3M passes
    Then the workflow should complete with output:
      """yaml
      [10, 21, 32]
      """

  Scenario: What foreach exports is in the context
    Given the tasks are:
      """yaml
      - l:
          listen: {to: {any: [{with: {type: tick.made}}], until: 'length >= 2'}}
          foreach:
            item: it
            do: [{s: {set: {n: '${ $it.n }'}}}]
            export: {as: '${ {sum: (($context.sum // 0) + .n)} }'}
      - read: {set: '${ $context }'}
      """
    When the workflow is started
    And events arrive:
      """yaml
      - {type: tick.made, data: {n: 4}}
      - {type: tick.made, data: {n: 5}}
      """
    Then the workflow should complete with output:
      """yaml
      sum: 9
      """

  Scenario: An error in foreach is one of the task
    Given the tasks are:
      """yaml
      - l:
          listen: {to: {one: {with: {type: tick.made}}}}
          foreach:
            do: [{r: {raise: {error: {type: 'https://a.test/bad', status: 400}}}}]
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: tick.made, data: {n: 4}}
      """
    Then the workflow should fault with error:
      """yaml
      instance: /do/0/l/foreach/do/0/r
      """

  Scenario: One event reaches all that listen
    Given the tasks are:
      """yaml
      - both:
          fork:
            branches:
              - a: {listen: {to: {one: {with: {type: order.paid}}}}}
              - b: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: order.paid, data: 1}
      """
    Then the workflow should complete with output:
      """yaml
      [[1], [1]]
      """

  Scenario: Events that were missed while the hub was down are taken
    Given the tasks are:
      """yaml
      - l: {listen: {to: {one: {with: {type: order.paid}}}}}
      """
    When the workflow is started
    And the hub restarts
    And an event arrives:
      """yaml
      {type: order.paid, data: 1}
      """
    And the hub crashes
    Then the workflow should complete with output:
      """yaml
      [1]
      """

  Scenario: What was taken is not forgotten in a crash
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: tick.made}}], until: 'length >= 2'}}}
      """
    When the workflow is started
    And an event arrives:
      """yaml
      {type: tick.made, data: 1}
      """
    And the hub crashes
    And an event arrives:
      """yaml
      {type: tick.made, data: 2}
      """
    Then the workflow should complete with output:
      """yaml
      [1, 2]
      """

  Scenario: Until that has an until of its own is refused
    Given the tasks are:
      """yaml
      - l: {listen: {to: {any: [{with: {type: a.b}}], until: {any: [{with: {type: c.d}}], until: 'true'}}}}
      """
    When the workflow is published
    Then the definition should be refused because of 'until'
