"""Wrong answers that learners really give in lesson 14, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers


def _bytes(body: str) -> str:
    return f"def held_bytes(n, base, adapter, width, merged):\n    return {body}\n"


_START = """
import json
def handle(method, path, headers, body, adapters, generate):
"""
_PATH = """
    if path not in ("/ping", "/invocations"):
        return 404, {}
"""
_METHOD = """
    if method != {"/ping": "GET", "/invocations": "POST"}[path]:
        return 405, {}
"""
_PING = """
    if path == "/ping":
        return 200, {}
"""
_LONG = """
    if len(body) > 6_291_456:
        return 413, {}
"""
_FIELDS = """
    fields = {k.lower(): v for k, v in headers.items()}
"""
_TYPE = """
    if fields.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, {}
"""
_ADAPTER = """
    adapter = fields.get("x-amzn-sagemaker-adapter-identifier")
    if adapter is not None and adapter not in adapters:
        return 404, {}
"""
_JSON = """
    try:
        content = json.loads(body)
    except ValueError:
        return 400, {}
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), str):
        return 400, {}
"""
_END = """
    return 200, {"generated_text": generate(content["inputs"], adapter)}
"""


def _handle(
    path: str = _PATH,
    method: str = _METHOD,
    ping: str = _PING,
    long: str = _LONG,
    fields: str = _FIELDS,
    kind: str = _TYPE,
    adapter: str = _ADAPTER,
    content: str = _JSON,
    end: str = _END,
) -> str:
    parts = (path, method, ping, long, fields, kind, adapter, content, end)
    return _START + "".join(part.lstrip("\n") for part in parts)


def _key(body: str) -> str:
    return f"def cache_key(adapter, version, scale, tokens):\n    return {body}\n"


def _ready(
    own: str = '{"adapter_config.json", "adapter_model.safetensors"} & set(files)',
    weights: str = "not [f for f in files if f.endswith('.safetensors') and not "
    "f.startswith('adapter')] or any(f.endswith('.bin') for f in files)",
    tokenizer: str = 'not {"tokenizer.json", "tokenizer_config.json"} <= set(files)',
    architecture: str = 'not set(config.get("architectures") or [None]) <= set(listed)',
    quantized: str = 'config.get("quantization_config") is not None',
    theta: str = '"rope_parameters" in config and "rope_theta" not in config',
    context: str = 'config.get("max_position_embeddings", 0) >= 131072',
    end: str = "problems",
) -> str:
    return f"""
def bedrock_ready(files, config, listed):
    problems = []
    if {own}:
        problems.append("adapter")
    if {weights}:
        problems.append("weights")
    if {tokenizer}:
        problems.append("tokenizer")
    if {architecture}:
        problems.append("architecture")
    if {quantized}:
        problems.append("quantized")
    if {theta}:
        problems.append("rope_theta")
    if {context}:
        problems.append("context")
    return {end}
"""


def _request(
    required: str = "[(before + n, 'required') for n in shape['required'] if n not in params]",
    unknown: str = "found.append((before + name, 'unknown'))",
    inner: str = "found += look(member, value, before + name + '.')",
    pattern: str = "'pattern' in member and not re.fullmatch(member['pattern'], value)",
    longer: str = "len(value) > member.get('max', len(value))",
    end: str = "look(shape, params, '')",
    middle: str = "if",
) -> str:
    return f"""
import re
def check_request(shape, params):
    def look(shape, params, before):
        found = {required}
        for name, value in params.items():
            member = shape["members"].get(name)
            if member is None:
                {unknown}
            elif member["type"] == "structure":
                {inner}
            else:
                if {pattern}:
                    found.append((before + name, "pattern"))
                {middle} {longer}:
                    found.append((before + name, "max"))
        return found
    return {end}
"""


WRONG = {
    "held_bytes": [
        WrongAnswer(
            "merged share a base",
            _bytes("width * (base + n * adapter)"),
            "Merged models do not share a base",
        ),
        WrongAnswer(
            "one merged base",
            _bytes("width * base if merged else width * (base + n * adapter)"),
            "This is one merged model",
        ),
        WrongAnswer(
            "base n times when separate", _bytes("width * n * base"), "share one base: count it"
        ),
        WrongAnswer(
            "base and adapter n times",
            _bytes("width * (n * base if merged else n * (base + adapter))"),
            "counted n times",
        ),
        WrongAnswer(
            "adapters free",
            _bytes("width * (n * base if merged else base)"),
            "The adapters are free",
        ),
        WrongAnswer(
            "one adapter",
            _bytes("width * (n * base if merged else base + adapter)"),
            "This is one adapter",
        ),
        WrongAnswer(
            "numbers", _bytes("n * base if merged else base + n * adapter"), "numbers, not bytes"
        ),
        WrongAnswer(
            "bits", _bytes("8 * width * (n * base if merged else base + n * adapter)"), "are bits"
        ),
        WrongAnswer(
            "always four bytes",
            _bytes("4 * (n * base if merged else base + n * adapter)"),
            "not always 4",
        ),
        WrongAnswer(
            "merged keeps its adapters",
            _bytes("width * (n * (base + adapter) if merged else base + n * adapter)"),
            "no bytes of its own",
        ),
        WrongAnswer(
            "the base is left out",
            _bytes("width * n * (base if merged else adapter)"),
            "The base is left out",
        ),
        WrongAnswer(
            "one base more",
            _bytes("width * ((n + 1) * base if merged else base + n * adapter)"),
            "The unmerged base is counted too",
        ),
        WrongAnswer(
            "text",
            _bytes("str(width * (n * base if merged else base + n * adapter))"),
            "number",
        ),
        WrongAnswer(
            "no adapters hold nothing",
            _bytes("width * (n * base if merged or n == 0 else base + n * adapter)"),
            "The base is left out",
        ),
    ],
    "handle": [
        WrongAnswer(
            "any path answers",
            _handle(path="", method="").replace(_PING.strip("\n"), _PING.strip("\n")),
            "none of the contract's",
        ),
        WrongAnswer("any method", _handle(method=""), "takes POST, and this was GET"),
        WrongAnswer(
            "a bad JSON is a 500",
            _handle(
                content=_JSON.replace(
                    "except ValueError:\n        return 400",
                    "except ValueError:\n        return 500",
                )
            ),
            "must be 400; got 500",
        ),
        WrongAnswer(
            "inputs by KeyError",
            _handle(content=_JSON.split("    if not")[0]),
            "'inputs'",
        ),
        WrongAnswer(
            "an unknown adapter gets the base",
            _handle(
                adapter='\n    adapter = fields.get("x-amzn-sagemaker-adapter-identifier")\n'
                "    adapter = adapter if adapter in adapters else None\n"
            ),
            "The base must not answer in its place",
        ),
        WrongAnswer(
            "ping runs the model",
            _handle(
                ping='\n    if path == "/ping":\n        generate("ping", None)\n'
                "        return 200, {}\n"
            ),
            "/ping runs the model",
        ),
        WrongAnswer(
            "headers have a case",
            _handle(
                adapter=_ADAPTER.replace(
                    'fields.get("x-amzn-sagemaker-adapter-identifier")',
                    'headers.get("X-Amzn-SageMaker-Adapter-Identifier")',
                )
            ),
            "have no case",
        ),
        WrongAnswer(
            "the header is not read",
            _handle(adapter="\n    adapter = None\n"),
            "the base answered",
        ),
        WrongAnswer("no limit", _handle(long=""), "above the limit"),
        WrongAnswer("any type", _handle(kind=""), "sent as text/csv"),
        WrongAnswer(
            "the type with its charset",
            _handle(
                kind='\n    if fields.get("content-type") != "application/json":\n'
                "        return 415, {}\n"
            ),
            "case does not matter",
        ),
        WrongAnswer(
            "a missing type passes",
            _handle(
                kind=_TYPE.replace(
                    'fields.get("content-type", "")',
                    'fields.get("content-type", "application/json")',
                )
            ),
            "No Content-Type",
        ),
        WrongAnswer(
            "a list has no get",
            _handle(content=_JSON.replace("not isinstance(content, dict) or ", "")),
            "AttributeError",
        ),
        WrongAnswer(
            "inputs of any kind",
            _handle(
                content=_JSON.replace(
                    'not isinstance(content.get("inputs"), str)', '"inputs" not in content'
                )
            ),
            "'inputs' is a number",
        ),
        WrongAnswer(
            "another key", _handle(end=_END.replace("generated_text", "text")), "goes under"
        ),
        WrongAnswer(
            "JSON as text",
            _handle(
                end="\n    text = generate(content['inputs'], adapter)\n"
                "    return 200, json.dumps({'generated_text': text})\n"
            ),
            "The second must be a dict",
        ),
        WrongAnswer(
            "ping wants a type",
            _handle(ping="", end=_PING.lstrip("\n") + _END),
            "GET /ping must be 200",
        ),
        WrongAnswer(
            "an adapter in any case",
            _handle(
                adapter=_ADAPTER.replace(
                    "adapter not in adapters", "adapter.lower() not in adapters"
                )
            ),
            "Names of adapters have a case",
        ),
        WrongAnswer(
            "an empty name is the base",
            _handle(
                adapter="\n    name = 'x-amzn-sagemaker-adapter-identifier'\n"
                "    adapter = fields.get(name) or None\n"
                "    if adapter and adapter not in adapters:\n        return 404, {}\n"
            ),
            "The adapter's name is empty",
        ),
        WrongAnswer(
            "text first, questions later",
            _handle(fields=_FIELDS + "    text = generate(str(body), None)\n"),
            "more than once",
        ),
        WrongAnswer("the status alone", _handle(end="\n    return 200\n"), "Return two things"),
        WrongAnswer("at the limit", _handle(long=_LONG.replace(">", ">=")), "not above the limit"),
        WrongAnswer(
            "six million", _handle(long=_LONG.replace("6_291_456", "6_000_000")), "not above"
        ),
        WrongAnswer("one byte more", _handle(long=_LONG.replace("456", "457")), "6,291,457 bytes"),
        WrongAnswer(
            "characters are counted",
            _handle(long=_LONG.replace("len(body)", 'len(body.decode("utf-8", "ignore"))')),
            "in fewer characters",
        ),
        WrongAnswer(
            "the type only begins so",
            _handle(
                kind='\n    kind = fields.get("content-type", "").lower()\n'
                '    if not kind.startswith("application/json"):\n        return 415, {}\n'
            ),
            "only begins like",
        ),
        WrongAnswer(
            "the type somewhere in it",
            _handle(
                kind='\n    kinds = fields.get("content-type", "").lower().split(";")\n'
                '    if "application/json" not in [k.split("=")[-1].strip() for k in kinds]:\n'
                "        return 415, {}\n"
            ),
            "before ';', here text/plain",
        ),
        WrongAnswer(
            "latin-1",
            _handle(content=_JSON.replace("loads(body)", "loads(body.decode('latin-1'))")),
            "unchanged",
        ),
        WrongAnswer(
            "the adapter from the body",
            _handle(
                adapter="",
                content=_JSON
                + _ADAPTER.replace("= fields.get(", "= content.get('adapter') or fields.get("),
            ),
            "The header alone does",
        ),
        WrongAnswer(
            "a prompt without its edges",
            _handle(end=_END.replace('content["inputs"]', 'content["inputs"].strip()')),
            "unchanged",
        ),
    ],
    "cache_key": [
        WrongAnswer("the prompt alone", _key("tuple(tokens)"), "Another adapter, the same prompt"),
        WrongAnswer("no version", _key("(adapter, scale, tuple(tokens))"), "after a reload"),
        WrongAnswer("no scale", _key("(adapter, version, tuple(tokens))"), "The scale does not"),
        WrongAnswer(
            "order lost", _key("(adapter, version, scale, tuple(sorted(tokens)))"), "The order"
        ),
        WrongAnswer("a set", _key("(adapter, version, scale, frozenset(tokens))"), "The order"),
        WrongAnswer("a list", _key("(adapter, version, scale, tokens)"), "hashable"),
        WrongAnswer(
            "names joined",
            _key("(f'{adapter}{version}', scale, tuple(tokens))"),
            "Name and version are joined",
        ),
        WrongAnswer(
            "tokens joined",
            _key("(adapter, version, scale, ''.join(map(str, tokens)))"),
            "The tokens are joined",
        ),
        WrongAnswer(
            "None as text", _key("(str(adapter), version, scale, tuple(tokens))"), "called 'None'"
        ),
        WrongAnswer(
            "an empty name is none",
            _key("(adapter or None, version, scale, tuple(tokens))"),
            "whose name is empty",
        ),
        WrongAnswer(
            "the length",
            _key("(adapter, version, scale, len(tokens))"),
            "token does not count",
        ),
        WrongAnswer(
            "a rounded scale",
            _key("(adapter, version, round(scale), tuple(tokens))"),
            "The scale",
        ),
        WrongAnswer(
            "a fresh object",
            _key("(adapter, version, scale, id(tokens), object())"),
            "Two equal requests",
        ),
        WrongAnswer("nothing", _key("None"), "got None"),
        WrongAnswer(
            "small letters",
            _key("(adapter and adapter.lower(), version, scale, tuple(tokens))"),
            "have a case",
        ),
        WrongAnswer(
            "the last token is left out",
            _key("(adapter, version, scale, tuple(tokens[:-1]))"),
            "The last token",
        ),
        *[
            WrongAnswer(
                f"for the base, {label}",
                _key(
                    f"(None, {left}) if adapter is None else (adapter, version, scale, "
                    "tuple(tokens))"
                ),
                f"For the base (None): {says}",
            )
            for label, left, says in (
                ("the length", "len(tokens)", "Two prompts of one length"),
                ("the order lost", "tuple(sorted(tokens))", "The order"),
                ("a set", "frozenset(tokens)", "The order"),
                ("the last 16 tokens", "len(tokens), tuple(tokens[-16:])", "Two prompts of 48"),
            )
        ],
        WrongAnswer(
            "a hash", _key("hash((adapter, version, scale, tuple(tokens)))"), "hash() is the same"
        ),
        WrongAnswer(
            "version times scale", _key("(adapter, version * scale, tuple(tokens))"), "run together"
        ),
        WrongAnswer(
            "tokens as bytes",
            _key("(adapter, version, scale, bytes(t % 256 for t in tokens))"),
            "a token is no byte",
        ),
        WrongAnswer(
            "the last 16 tokens",
            _key("(adapter, version, scale, len(tokens), tuple(tokens[-16:]))"),
            "differ in their first token",
        ),
        WrongAnswer(
            "the first 32 tokens",
            _key("(adapter, version, scale, len(tokens), tuple(tokens[:32]))"),
            "differ in their last token",
        ),
    ],
    "bedrock_ready": [
        WrongAnswer("adapter files pass", _ready(own="False"), "It misses adapter"),
        WrongAnswer(
            "an adapter's weights are weights",
            _ready(
                weights="not [f for f in files if f.endswith('.safetensors')] or "
                "any(f.endswith('.bin') for f in files)"
            ),
            "It misses weights",
        ),
        WrongAnswer(
            "bin is fine",
            _ready(
                weights="not [f for f in files if f.endswith(('.safetensors', '.bin')) and not "
                "f.startswith('adapter')]"
            ),
            "It misses weights",
        ),
        WrongAnswer(
            "one file only", _ready(weights="'model.safetensors' not in files"), "two files"
        ),
        WrongAnswer(
            "one tokenizer file",
            _ready(tokenizer="'tokenizer.json' not in files"),
            "It misses tokenizer",
        ),
        WrongAnswer(
            "either tokenizer file",
            _ready(tokenizer="not {'tokenizer.json', 'tokenizer_config.json'} & set(files)"),
            "It misses tokenizer",
        ),
        WrongAnswer(
            "no architecture is fine",
            _ready(architecture="not set(config.get('architectures') or []) <= set(listed)"),
            "It misses architecture",
        ),
        WrongAnswer(
            "an architecture must be Qwen2",
            _ready(
                architecture="config.get('architectures') != ['Qwen2ForCausalLM'] and "
                "config.get('architectures') != ['LlamaForCausalLM']"
            ),
            "architecture",
        ),
        WrongAnswer(
            "quantized: the key",
            _ready(quantized="'quantization_config' in config"),
            "need not say quantized",
        ),
        WrongAnswer("quantized passes", _ready(quantized="False"), "It misses quantized"),
        WrongAnswer("theta passes", _ready(theta="False"), "It misses rope_theta"),
        WrongAnswer(
            "theta always asked",
            _ready(theta="'rope_theta' not in config"),
            "need not say rope_theta",
        ),
        WrongAnswer(
            "rope_parameters refused",
            _ready(theta="'rope_parameters' in config"),
            "need not say rope_theta",
        ),
        WrongAnswer(
            "the context may be equal",
            _ready(context="config.get('max_position_embeddings', 0) > 131072"),
            "It misses context",
        ),
        WrongAnswer(
            "128,000",
            _ready(context="config.get('max_position_embeddings', 0) >= 128000"),
            "need not say context",
        ),
        WrongAnswer(
            "the config must be whole",
            _ready(context="config['max_position_embeddings'] >= 131072"),
            "KeyError",
        ),
        WrongAnswer("a boolean", _ready(end="not problems"), "got bool"),
        WrongAnswer("the first only", _ready(end="problems[:1]"), "It misses"),
        WrongAnswer("capitals", _ready(end="[p.title() for p in problems]"), "none of the seven"),
        WrongAnswer(
            "both of the adapter's files",
            _ready(own="{'adapter_config.json', 'adapter_model.safetensors'} <= set(files)"),
            "adapter_config.json left in it: It misses adapter",
        ),
        WrongAnswer(
            "the adapter's config only",
            _ready(own="'adapter_config.json' in files"),
            "adapter_model.safetensors left in it: It misses adapter",
        ),
        WrongAnswer(
            "the adapter's weights only",
            _ready(own="'adapter_model.safetensors' in files"),
            "adapter_config.json left in it: It misses adapter",
        ),
        WrongAnswer(
            "whatever begins with adapter",
            _ready(own="any(f.startswith('adapter') for f in files)"),
            "need not say adapter",
        ),
        *[
            WrongAnswer(
                label,
                _ready(
                    weights="not [f for f in files if f.endswith('.safetensors') and not "
                    f"f.startswith('adapter')]{bad}"
                ),
                says,
            )
            for label, bad, says in (
                ("bin beside safetensors", "", "one of two .bin beside them: It misses weights"),
                ("one name of a bin", " or 'pytorch_model.bin' in files", "one of two .bin"),
                ("bin in a name", " or any('.bin' in f for f in files)", "which is no .bin"),
            )
        ],
        WrongAnswer(
            "any architecture",
            _ready(architecture="not set(config.get('architectures') or []) & set(listed)"),
            "the second not listed: It misses architecture",
        ),
        WrongAnswer(
            "the first architecture",
            _ready(architecture="(config.get('architectures') or [None])[0] not in listed"),
            "the second not listed: It misses architecture",
        ),
        WrongAnswer(
            "part of a listed name",
            _ready(
                architecture="not config.get('architectures') or any(a not in ' '.join(listed) "
                "for a in config['architectures'])"
            ),
            "only part of a listed one: It misses architecture",
        ),
        WrongAnswer(
            "quantized by truth",
            _ready(quantized="config.get('quantization_config')"),
            "which is not null: It misses quantized",
        ),
    ],
    "check_request": [
        WrongAnswer("top level only", _request(inner="pass"), "source.s3Uri"),
        WrongAnswer(
            "re.search",
            _request(pattern="'pattern' in member and not re.search(member['pattern'], value)"),
            "misses pattern at 'jobName'",
        ),
        WrongAnswer(
            "re.match",
            _request(pattern="'pattern' in member and not re.match(member['pattern'], value)"),
            "misses pattern at 'jobName'",
        ),
        WrongAnswer(
            "match with a dollar",
            _request(
                pattern="'pattern' in member and not re.match('(?:' + member['pattern'] + ')$', "
                "value)"
            ),
            "line's end",
        ),
        WrongAnswer("no maximum", _request(longer="False"), "misses max"),
        WrongAnswer(
            "maximum too low",
            _request(longer="len(value) >= member.get('max', 10**9)"),
            "need not say max",
        ),
        WrongAnswer("no unknown", _request(unknown="pass"), "misses unknown"),
        WrongAnswer("required forgotten", _request(required="[]"), "misses required"),
        WrongAnswer(
            "all are required",
            _request(
                required="[(before + n, 'required') for n in shape['members'] if n not in params]"
            ),
            "need not say required",
        ),
        WrongAnswer(
            "paths without the outer name",
            _request(inner="found += look(member, value, '')"),
            "the path of a member inside",
        ),
        WrongAnswer(
            "the pattern hides the maximum", _request(middle="elif"), "long name with an underscore"
        ),
        WrongAnswer("a maximum for all", _request(longer="len(value) > member['max']"), "KeyError"),
        WrongAnswer("the first only", _request(end="look(shape, params, '')[:1]"), "misses"),
        WrongAnswer(
            "texts", _request(end="[f'{p} {r}' for p, r in look(shape, params, '')]"), "is a pair"
        ),
        WrongAnswer("a boolean", _request(end="not look(shape, params, '')"), "got bool"),
        WrongAnswer(
            "required by truth",
            _request(
                required="[(before + n, 'required') for n in shape['required'] if not "
                "params.get(n)]"
            ),
            "need not say required",
        ),
        WrongAnswer(
            "one level of nesting",
            _request(inner="found += look(member, value, name + '.') if not before else []"),
            "misses required at 'source.place.zone'",
        ),
        WrongAnswer(
            "the last two of a path",
            _request(inner="found += look(member, value, name + '.')"),
            "misses required at 'source.place.zone'",
        ),
        WrongAnswer(
            "a maximum of 0 is none",
            _request(longer="member.get('max') and len(value) > member['max']"),
            "where the maximum is 0: it misses max",
        ),
        WrongAnswer(
            "bytes are counted",
            _request(longer="len(value.encode()) > member.get('max', 10**9)"),
            "each two bytes: it need not say max",
        ),
        WrongAnswer(
            "spaces are not counted",
            _request(longer="len(value.strip()) > member.get('max', 10**9)"),
            "by a space: it misses max",
        ),
        WrongAnswer(
            "a dot is a line's end too",
            _request(
                pattern="'pattern' in member and not re.fullmatch(member['pattern'], value, re.S)"
            ),
            "where the pattern has a dot",
        ),
    ],
    "my_batch": wrong_numbers(
        "my_batch",
        {
            "the results are in the order of the groups": (
                "74_596, 4",
                "The results are in the order of the groups",
            ),
            "the base's own rows are dropped": ("73_021, 4", "The base's own rows are dropped"),
            "the unknown adapter's row is served by the base": (
                "77_701, 4",
                "The unknown adapter's row is served by the base",
            ),
            "the refused row is left out, so those after it m": (
                "73_042, 4",
                "The refused row is left out, so those after it moved up",
            ),
            "the base is added once for each adapter": (
                "100_151, 4",
                "The base is added once for each adapter",
            ),
            "the adapters' rows lack the base": ("67_131, 4", "The adapters' rows lack the base"),
            "the places are counted from 0": ("61_207, 4", "The places are counted from 0"),
            "the results are not weighted by their places": (
                "14_884, 4",
                "The results are not weighted by their places",
            ),
            "the base's pass is left out": ("76_091, 3", "The base's pass is left out"),
            "the unknown adapter makes no pass, and the base ": (
                "76_091, 5",
                "The unknown adapter makes no pass, and the base makes one fo",
            ),
            "these are the rows": ("76_091, 9", "These are the rows"),
            "the base runs once for the batch, not once for e": (
                "76_091, 6",
                "The base runs once for the batch, not once for each adapter",
            ),
            "a text": ('"many"', "number"),
        },
    ),
}
WRONG = joined(WRONG, afresh("14"))
