"""Whether a bill of materials is CycloneDX 1.5, by the official JSON schema: the package brings it along."""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

validator = JsonStrictValidator(SchemaVersion.V1_5)
text = Path(sys.argv[1]).read_text(encoding="utf-8")
errors = list(validator.validate_str(text, all_errors=True) or ())
for error in errors:
    print(error, file=sys.stderr)

# A validator that accepts anything would say nothing.
broken = json.loads(text)
broken["components"][0]["licenses"] = [{"license": {"id": "none of SPDX's"}}]
if validator.validate_str(json.dumps(broken)) is None:
    sys.exit("the schema accepts a licence that is none")
if errors:
    sys.exit(1)
print(f"CycloneDX 1.5: {len(broken['components'])} components")
