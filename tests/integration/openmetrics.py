"""A parser of the OpenMetrics 1.0 text format and of Prometheus' text format 0.0.4, written from the specifications and sharing nothing with the renderer.

parse(text) and parse_classic(text) return {family: Family}; every breach of the format is a ValueError that tells the line.
"""
import math
import re

SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count", "_created"), "summary": ("", "_sum", "_count", "_created"),
            "info": ("_info",), "stateset": ("",), "unknown": ("",), "gaugehistogram": ("_bucket", "_gsum", "_gcount")}
CLASSIC = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count"), "untyped": ("",)}
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$|[+-]?Inf$|NaN$")


class Family:
    def __init__(self, name):
        self.name, self.kind, self.unit, self.help, self.samples = name, None, None, None, []


class Reader:
    def __init__(self, text, suffixes, openmetrics):
        self.suffixes, self.openmetrics = suffixes, openmetrics
        self.families, self.current, self.seen, self.number = {}, None, set(), 0
        for self.number, line in enumerate(text.split("\n"), 1):
            self.line = line
            if line:
                self.take(line)
            elif openmetrics:
                self.fail("an empty line")

    def fail(self, why):
        raise ValueError(f"line {self.number}: {why}: {self.line!r}")

    def family(self, name):
        """Opens the family; one that was left before may not come back: its lines would not be contiguous."""
        if self.current is not None and self.current.name == name:
            return self.current
        if name in self.families:
            self.fail("the family is not contiguous")
        self.current = self.families[name] = Family(name)
        return self.current

    def take(self, line):
        if line.startswith("#"):
            self.meta(line)
        else:
            self.sample(line)

    def meta(self, line):
        match = re.match(r"# (TYPE|HELP|UNIT) ([^ ]+) (.*)$", line)
        if not match or not NAME.fullmatch(match[2]):
            self.fail("not a metadata line")
        family = self.family(match[2])
        field = {"TYPE": "kind", "HELP": "help", "UNIT": "unit"}[match[1]]
        if getattr(family, field) is not None:
            self.fail(f"{match[1]} twice")
        if family.samples:
            self.fail(f"{match[1]} after a sample")
        if match[1] == "TYPE" and match[3] not in self.suffixes:
            self.fail("unknown type")
        if match[1] == "UNIT" and not match[2].endswith("_" + match[3]):
            self.fail("the name does not end with the unit")
        if re.search(r"\\(?![\\n\"])", match[3]):
            self.fail("bad escape")
        setattr(family, field, match[3])

    def sample(self, line):
        match = NAME.match(line)
        if not match:
            self.fail("no name")
        name, at = match[0], match.end()
        labels, at = self.labels(line, at) if line[at:at + 1] == "{" else ((), at)
        rest = line[at:]
        if not rest.startswith(" ") or not NUMBER.match(rest[1:].split(" ")[0]):
            self.fail("no value")
        if " " in rest[1:]:
            self.fail("a timestamp or an exemplar, which this program never writes")
        family, suffix = self.owner(name)
        if (name, labels) in self.seen:
            self.fail("a series twice")
        self.seen.add((name, labels))
        family.samples.append((suffix, labels, float(rest[1:].replace("Inf", "inf"))))

    def owner(self, name):
        """The family that is open must be the sample's."""
        if self.current is None or self.current.kind is None:
            self.fail("a sample without TYPE")
        for suffix in self.suffixes[self.current.kind]:
            if name == self.current.name + suffix:
                return self.current, suffix
        self.fail(f"no sample of family {self.current.name} ({self.current.kind})")
        return None

    def labels(self, line, at):
        pairs, at = {}, at + 1
        while line[at] != "}":
            match = LABEL_NAME.match(line, at)
            if not match or line[match.end():match.end() + 2] != '="':
                self.fail("bad label name")
            value, at = self.value(line, match.end() + 2)
            if match[0] in pairs:
                self.fail("a label twice")
            pairs[match[0]] = value
            if line[at] == ",":
                at += 1
            elif line[at] != "}":
                self.fail("no comma between labels")
        return tuple(sorted(pairs.items())), at + 1

    def value(self, line, at):
        out = []
        while True:
            char = line[at:at + 1]
            if char == "":
                self.fail("an open label value")
            if char == '"':
                return "".join(out), at + 1
            if char == "\\":
                at += 1
                if line[at:at + 1] not in ("\\", '"', "n"):
                    self.fail("bad escape in a label value")
                char = "\n" if line[at] == "n" else line[at]
            out.append(char)
            at += 1


def check_family(family):
    if family.kind == "counter" and any(not value >= 0 for _, _, value in family.samples):
        raise ValueError(f"{family.name}: a counter below 0 or NaN")
    if family.kind != "histogram":
        return
    by_labels = {}
    for suffix, labels, value in family.samples:
        rest = tuple(pair for pair in labels if pair[0] != "le")
        by_labels.setdefault(rest, []).append((suffix, dict(labels).get("le"), value))
    for series in by_labels.values():
        buckets = [(float(le.replace("Inf", "inf")), value) for suffix, le, value in series if suffix == "_bucket"]
        if [le for le, _ in buckets] != sorted({le for le, _ in buckets}) or buckets[-1][0] != math.inf:
            raise ValueError(f"{family.name}: buckets out of order or without +Inf")
        if [count for _, count in buckets] != sorted(count for _, count in buckets):
            raise ValueError(f"{family.name}: buckets are not cumulative")
        if [value for suffix, _, value in series if suffix == "_count"] != [buckets[-1][1]]:
            raise ValueError(f"{family.name}: _count differs from the +Inf bucket")


def parse(text):
    if not text.endswith("# EOF\n") or text.count("# EOF") != 1:
        raise ValueError("OpenMetrics does not end with one # EOF")
    families = Reader(text[:-len("# EOF\n")].rstrip("\n"), SUFFIXES, True).families
    for family in families.values():
        check_family(family)
    return families


def parse_classic(text):
    if not text.endswith("\n"):
        raise ValueError("the last line is not ended")
    families = Reader(text, CLASSIC, False).families
    for family in families.values():
        check_family(family)
    return families
