"""List the mistakes that the linter of prose finds: ``python -m development.prose [PATH ...]``."""

import sys

from development import prose

mistakes = prose.found(prose.texts())
if wanted := sys.argv[1:]:
    mistakes = [mistake for mistake in mistakes if mistake.path.removesuffix(".md").startswith(tuple(wanted))]
for mistake in mistakes:
    print(mistake)
print(f"{len(mistakes)} mistakes")
sys.exit(bool(mistakes))
