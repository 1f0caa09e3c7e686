"""Reads a report and a bundle of gatepost why as others would, and prints what it found as JSON.

usage: report_check.py REPORT BUNDLE
"""

import csv
import io
import json
import sys
import zipfile
from html.parser import HTMLParser

VOID = {"meta"}


class Page(HTMLParser):
    """Every tag that opens is closed in its turn; what stands in headings, tables and the policy is kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], set(), set()
        self.headings, self.policy, self.tables_without_header = [], "", 0
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)
        if dict(attributes).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attributes)["content"]
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag == "table":
            self.tables_without_header += 1
        if tag == "thead":
            self.tables_without_header -= 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings[-1] += data


with open(sys.argv[1], encoding="utf-8") as file:
    page = Page(file.read())
with zipfile.ZipFile(sys.argv[2]) as bundle:
    assert bundle.testzip() is None
    files = {name: bundle.read(name).decode() for name in bundle.namelist()}
trace = list(csv.DictReader(io.StringIO(files["message-trace.csv"]), strict=True))
log = list(csv.reader(io.StringIO(files.get("protocol-log.csv", "")), strict=True))
print(
    json.dumps(
        {
            "tags": sorted(page.tags),
            "attributes": sorted(page.attributes),
            "headings": page.headings,
            "policy": page.policy,
            "tables_without_header": page.tables_without_header,
            "files": sorted(files),
            "same_report": files["report.html"].split("Created")[0][:2000] == open(sys.argv[1]).read()[:2000],
            "events": sorted({row["event_id"] for row in trace}),
            "recipients": sorted({row["recipient_address"] for row in trace}),
            "columns": len(trace[0]),
            "whole_rows": all(None not in row and None not in row.values() for row in trace),
            "log_fields": sorted({len(row) for row in log if not row[0].startswith("#")}),
            "handshakes": len(json.loads(files.get("handshakes.json", '{"handshakes": []}'))["handshakes"]),
        }
    )
)
