#!/usr/bin/env bash
# Makes a small pack of a manifest, a schema, a sample and a test, in the form the target takes: ./pack.sh FOLDER.
set -euo pipefail
{
    printf 'name: a\nversion: 1.0.0\ntitle: A\ndescription: >-\n  A pack.\nrequires:\n  hub: ">=0.1.0"\n\0'
    printf '%s\0' '{"type":"a.made","version":1,"title":"Made","description":"It was made.","schema":{"type":"object",
"required":["id"],"properties":{"id":{"type":"string","minLength":1},"m":{"$ref":"defs/shared.json#/$defs/m"}},
"additionalProperties":false},"example":{"id":"x","m":1.5}}'
    printf '%s\0' '{"type":"a.made","subject":"s","data":{"id":"x","m":2}}'
    printf 'tests:\n  - name: it is made\n    given: {sample: one}\n    expect: {schema: valid}\n'
    printf '  - name: it has an id\n    given: {sample: one, remove: [/id], set: {/m: "a"}}\n'
    printf '    expect: {schema: {invalid: [{at: /id, keyword: required}, {at: /m, keyword: type}]}}\n\0'
    printf '%s' '{"$defs":{"m":{"type":"number","minimum":0}}}'
} > "$1/whole"
