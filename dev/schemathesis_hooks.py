"""What a key of idempotency is for would hide every request but the first: each that is one becomes a new one."""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(ctx, case, kwargs):
    headers = case.headers or {}
    for name in list(headers):
        if name.lower() == "idempotency-key" and re.fullmatch(r"[!-~]([ -~]{0,253}[!-~])?", str(headers[name])):
            headers[name] = str(uuid.uuid4())
