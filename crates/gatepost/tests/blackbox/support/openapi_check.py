"""Checks an OpenAPI document, and that the API answers as it says.

usage: openapi_check.py BASE_ADDRESS TOKEN PATH_OF_DOCUMENT TEMPLATE PATH [TEMPLATE PATH]…
"""

import json
import sys
import urllib.request

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

base, token, document_path, *samples = sys.argv[1:]


def fetch(path):
    request = urllib.request.Request(base + path, headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


document = fetch(document_path)
validate(document)
checked = 0
for template, path in zip(samples[::2], samples[1::2], strict=True):
    content = document["paths"][template]["get"]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"] | {"components": document["components"]}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(fetch(path))
    checked += 1
parameters = [parameter["name"] for parameter in document["paths"]["/api/v1/message-traces"]["get"]["parameters"]]
print(json.dumps({"checked": checked, "parameters": parameters}))
