# Functions written in jq. Each sees only those above it; a program gets only those it needs.
# None reads anything but its input. Recursion is always by an inner function without parameters.

def empty: {}[] as $x | .;
def error: error_empty as $x | .;
def error(msg): (msg | error_empty) as $x | .;
def true: 0 == 0;
def false: 0 != 0;
def null: [][0];
def not: if . then false else true end;
def select(f): if f then . else empty end;
def tostring: "\(.)";
def map(f): [.[] | f];
def add(f): reduce f as $x (null; . + $x);
def add: add(.[]);

# Kinds.
def values: select(. != null);
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type == "array" or type == "object");
def scalars: select(type != "array" and type != "object");
def scalars_or_empty: scalars;
def toboolean:
  if type == "boolean" then .
  elif . == "true" then true
  elif . == "false" then false
  else error("the value is not a boolean") end;
def toarray: if type == "array" then . else [.] end;
def have_literal_numbers: true;
def have_decnum: false;

# Numbers.
def abs: if type != "number" then error(type + " has no absolute value") elif . < 0 then -. else . end;
def isfinite: type == "number" and (isinfinite | not);
def finites: select(isfinite);
def normals: select(type == "number" and isnormal);
def gamma: lgamma;
def lgamma_r: [lgamma, if . < 0 and (floor % 2 != 0) and floor != . then -1 else 1 end];
def nearbyint: rint;
def pow10: exp10;
def scalbln(x; e): ldexp(x; e);
def nexttoward(x; y): nextafter(x; y);

# Generators.
def range($from; $to): range($from; $to; 1);
def range($to): range(0; $to; 1);
def repeat(f): def again: f, again; again;
def recurse(f): def again: ., (f | again); again;
def recurse(f; condition): recurse(f | select(condition));
def recurse: recurse(.[]?);
def recurse_down: recurse;
def while(condition; update): def again: if condition then ., (update | again) else empty end; again;
def until(condition; update): def again: if condition then . else update | again end; again;
def isempty(g): first((g | false), true);
def all(g; condition): isempty(g | condition and empty);
def any(g; condition): isempty(g | condition or empty) | not;
def all(condition): all(.[]; condition);
def any(condition): any(.[]; condition);
def all: all(.[]; .);
def any: any(.[]; .);
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def nth($n; g): if $n < 0 then error("nth has no negative indices") else first(skip($n; g)) end;
def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def index($i): indices($i) | .[0];
def rindex($i): indices($i) | .[-1:][0];
def combinations:
  def again:
    if length == 0 then []
    else .[0][] as $x | (.[1:] | again) as $rest | [$x] + $rest end;
  again;
def combinations($n): . as $all | [range($n) | $all] | combinations;
def walk(f):
  def again:
    if type == "object" then map_values(again)
    elif type == "array" then map(again)
    else . end | f;
  again;

# Arrays.
def flatten($depth):
  def again($depth):
    reduce .[] as $x ([];
      if ($x | type) == "array" and $depth != 0 then . + ($x | again($depth - 1)) else . + [$x] end);
  if $depth < 0 then error("the depth of flatten must not be negative") else again($depth) end;
def flatten: flatten(1000000);
def transpose: [range(map(length) | max_by_or_empty(.) // 0) as $i | [.[][$i]]];
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def min_by(f): reduce min_by_or_empty(f) as $x (null; $x);
def max_by(f): reduce max_by_or_empty(f) as $x (null; $x);
def min: min_by(.);
def max: max_by(.);
def join($separator):
  def text: if . == null then "" elif type == "boolean" or type == "number" then tojson else . end;
  reduce .[] as $x (null; (if . == null then "" else . + $separator end) + ($x | text)) // "";

# Paths.
def paths: path(..) | select(length > 0);
def paths(f): path_value(..) | select((.[0] | length) > 0 and (.[1] | f)) | .[0];
def leaf_paths: paths(type != "array" and type != "object");
def getpath($path): reduce $path[] as $p (.; .[$p]);
def del(f): delpaths([path(f)]);
def to_entries: [key_values[] as [$key, $value] | {$key, $value}];
def from_entries:
  reduce .[] as $x ({};
    . + {
      ($x | if .key != null then .key elif .k != null then .k elif .name != null then .name
            elif .Name != null then .Name elif .K != null then .K else .Key end
          | if type == "string" then . elif . == null or type == "boolean" or type == "number" then tojson
            else error("a key must be a string") end):
      ($x | if has("value") then .value elif has("v") then .v else .Value end)
    });
def with_entries(f): to_entries | map(f) | from_entries;
def pick(f): . as $all | reduce path(f) as $p (null; setpath($p; $all | getpath($p)));
def tostream: path(def again: (.[]? | again), .; again) as $p
  | getpath($p) | reduce path(.[]?) as $q ([$p, .]; [$p + $q]);
def fromstream(f):
  {value: null, done: false} as $start
  | foreach f as $event ($start;
      if .done then $start else . end
      | if ($event | length) == 2
        then .done = ($event[0] | length == 0) | setpath(["value"] + $event[0]; $event[1])
        else .done = ($event[0] | length == 1) end;
      if .done then .value else empty end);
def truncate_stream(stream): . as $n | null | stream | . as $event
  | if ($event[0] | length) > $n then [$event[0][$n:]] + $event[1:] else empty end;

# Tables.
def INDEX(stream; f): reduce stream as $row ({}; setpath([$row | f | tostring]; $row));
def INDEX(f): INDEX(.[]; f);
def IN(s): any(s == .; .);
def IN(source; s): any(source == s; .);
def JOIN($index; f): [.[] | [., $index[f]]];
def JOIN($index; stream; f): stream | [., $index[f]];
def JOIN($index; stream; f; join): stream | [., $index[f]] | join;
def ascii: [.] | implode;

# Regular expressions.
def split($separator): if type == "string" and ($separator | type) == "string" then . / $separator
  else error("split needs a text and a separator") end;
def match($re; $flags): _matches($re; $flags)[];
def match($re): if ($re | type) == "array" then match($re[0]; $re[1]) else match($re; null) end;
def test($re; $flags): _test($re; $flags);
def test($re): if ($re | type) == "array" then _test($re[0]; $re[1]) else _test($re; null) end;
def _captured: reduce (.captures[] | select(.name != null)) as $c ({}; . + {($c.name): $c.string});
def capture($re; $flags): match($re; $flags) | _captured;
def capture($re): match($re) | _captured;
def scan($re; $flags): match($re; "g" + $flags)
  | if (.captures | length) > 0 then [.captures[].string] else .string end;
def scan($re): scan($re; null);
def split($re; $flags): [_parts($re; "g" + $flags)[] | strings];
def splits($re; $flags): split($re; $flags)[];
def splits($re): splits($re; null);
def sub($re; f; $flags): reduce _parts($re; $flags)[] as $part
  (""; . + ($part | if type == "string" then . else _captured | f end));
def sub($re; f): sub($re; f; null);
def gsub($re; f; $flags): sub($re; f; "g" + $flags);
def gsub($re; f): sub($re; f; "g");

# Dates, in UTC.
def todateiso8601: strftime("%Y-%m-%dT%H:%M:%SZ");
def todate: todateiso8601;
def fromdate: fromdateiso8601;
def date: todate;
def timegm: mktime;
def dateadd($unit; $n): . + $n;
def datesub($unit; $n): . - $n;

# Formats; the others are native.
def @text: tostring;
def @json: tojson;
def format($name):
  if $name == "text" then @text elif $name == "json" then @json
  elif $name == "csv" then @csv elif $name == "tsv" then @tsv
  elif $name == "html" then @html elif $name == "sh" then @sh
  elif $name == "uri" then @uri elif $name == "urid" then @urid
  elif $name == "base64" then @base64 elif $name == "base64d" then @base64d
  else error("there is no such format") end;
