"""Points: what the daemons and two naive rankers made of a scenario, and sums of that. Pure; nothing here asks anybody.

A way's answer is {"causes": [check…], "confidence": [level…], "undetermined": [check…], "explains": {check: cause}, "observer": [text…], "verdict": text, "text": report}.

  top1        the first cause is a true one, and every true cause is listed; without a true cause: none is named, and what must be undetermined is
  top3        every true cause is among the first three; without a true cause: as top1
  invented    named as a cause, is neither a true one nor a symptom
  symptom     a symptom that is named as a cause
The naive rankers list every failing check, so of them only as many as there are true causes count as named (at least one, if any check fails).
"""
from scenario import TRAPS

DAEMONS = ("with", "without")
WAYS = ("with", "without", "earliest", "deepest", "earliest-", "deepest-")  # -: without depends_on
LEVELS = ("high", "medium", "low")


# ---- naive rankers

def earliest(status, _):
    """The check that failed first; by name where two did at the same time."""
    failing = [check for check in status["checks"] if check["state"] == "fail"]
    return [check["name"] for check in sorted(failing, key=lambda check: (check["since"], check["name"]))]


def deepest(status, depends_on):
    """Failing checks below which nothing fails (as declared), the one with the longest chain of failures above it first, then by time and name."""
    failing = {check["name"]: check for check in status["checks"] if check["state"] == "fail"}
    height = {name: 0 for name in failing}
    for _ in failing:
        for name in failing:
            for below in depends_on.get(name, ()):
                if below in failing:
                    height[below] = max(height[below], height[name] + 1)
    bottom = [name for name in failing if not any(below in failing for below in depends_on.get(name, ()))]
    rest = [name for name in failing if name not in bottom]
    return [name for group in (bottom, rest) for name in sorted(group, key=lambda name: (-height[name], failing[name]["since"], name))]


def naive(names, scenario):
    count = max(1, len(scenario.causes))
    return {"causes": names[:count], "confidence": [], "undetermined": [], "explains": {}, "observer": [], "verdict": None, "text": None}


def told(report, text, status):
    """What a daemon's /triage names, and which checks are not well."""
    explains = {one["check"]: cause["check"] for cause in report["causes"] for one in cause["explains"]}
    return {"causes": [cause["check"] for cause in report["causes"]], "confidence": [cause["confidence"] for cause in report["causes"]],
            "undetermined": [one["check"] for one in report["undetermined"]], "explains": explains, "observer": report["observer"], "verdict": report["verdict"],
            "text": text, "bad": [check["name"] for check in status["checks"] if check["state"] in ("fail", "unknown", "stale")]}


# ---- one answer

def judge(scenario, answer):
    named, groups = answer["causes"], scenario.causes
    true = set().union(*groups)
    counted = [name for name in named if name not in scenario.may or name in true]
    symptoms = [name for name in counted if name in scenario.symptoms and name not in true]
    invented = [name for name in counted if name not in true and name not in symptoms]
    silent = not counted and set(scenario.undetermined) <= set(answer["undetermined"])
    whole = all(group & set(named) for group in groups)
    points = {"top1": bool(named and named[0] in true and whole) if groups else silent,
              "top3": all(group & set(named[:3]) for group in groups) if groups else silent,
              "invented": invented, "symptoms": symptoms, "blamed": list(counted) if "observer" in scenario.tags and not groups else [],
              "calibration": [(level, name in true or name in scenario.may) for name, level in zip(named, answer["confidence"])]}
    if answer["text"] is not None:
        text = answer["text"].partition("NOT LINKED TO THE CAUSE")[0]
        points["words"] = [word for word in scenario.words if word not in text] + [f"not {word}" for word in scenario.not_words if word in text]
        told_open = answer["undetermined"] if scenario.undetermined else ()  # what hangs on an open question may be one itself
        points["unexplained"] = [name for name in scenario.symptoms if name in answer["bad"] and name not in answer["explains"] and name not in told_open]
        if groups and not set(scenario.undetermined) <= set(answer["undetermined"]):
            points["words"] += [f"{name} undetermined" for name in scenario.undetermined if name not in answer["undetermined"]]
        if scenario.verdict and answer["verdict"] != scenario.verdict:
            points["top1"] = points["top3"] = False
    return points


def judge_twin(scenario, answer):
    """Without the fault nothing is a cause but what stands broken anyway."""
    return [name for name in answer["causes"] if name not in scenario.standing]


# ---- sums

def share(hits, count):
    return 100.0 * hits / count if count else None


def sums(results, way):
    """Over finished scenarios."""
    points = [result["ways"][way] for result in results]
    rows = {"scenarios": len(points), "top1": share(sum(p["top1"] for p in points), len(points)), "top3": share(sum(p["top3"] for p in points), len(points)),
            "invented": sum(len(p["invented"]) for p in points), "symptoms": sum(len(p["symptoms"]) for p in points), "blamed": sum(len(p["blamed"]) for p in points)}
    if way in DAEMONS:
        calibration = [pair for p in points for pair in p["calibration"]]
        rows["calibration"] = {level: (sum(right for l, right in calibration if l == level), sum(l == level for l, _ in calibration)) for level in LEVELS}
        rows["words"] = sum(bool(p["words"]) for p in points)
        rows["unexplained"] = sum(len(p["unexplained"]) for p in points)
        rows["twins"] = sum(len(result["twins"][way]) for result in results)
    return rows


def verdicts(results, sampled=False):
    """[(what, whether it holds, the figure)] by the acceptance of the rig, over the scenarios given. A sample is too small for a margin between rankers: there it is to be above."""
    if not results:
        return []
    total = {way: sums(results, way) for way in WAYS}
    traps = [result for result in results if set(result["tags"]) & set(TRAPS)]
    trap = {way: sums(traps, way) for way in WAYS}
    found = []

    def hold(what, figure, good):
        found.append((what, good, figure))

    for way, least in (("with", 95), ("without", 90)):
        hold(f"top-1 {way} depends_on ≥ {least} %", f"{total[way]['top1']:.1f} %", total[way]["top1"] >= least)
    for way in DAEMONS:
        hold(f"top-3 {way} = 100 %", f"{total[way]['top3']:.1f} %", total[way]["top3"] == 100)
        invented = total[way]["invented"] + total[way]["twins"]
        hold(f"invented causes {way} = 0", f"{invented}", invented == 0)
        hold(f"symptoms as causes {way} = 0", f"{total[way]['symptoms']}", total[way]["symptoms"] == 0)
        right, count = total[way]["calibration"]["high"]
        hold(f"`high` right {way} ≥ 99 %", f"{right}/{count}", count == 0 or right / count >= 0.99)
    best = max(total["earliest"]["top1"], total["deepest"]["top1"])
    hold("with depends_on never below a naive ranker", f"{total['with']['top1']:.1f} against {best:.1f}", total["with"]["top1"] >= best)
    lead = total["without"]["top1"] - max(total["earliest-"]["top1"], total["deepest-"]["top1"])
    hold("≥ 30 points above both without depends_on", f"{lead:+.1f}", lead >= 30)
    if traps:
        for way, mark in (("with", ""), ("without", "-")):
            lead = trap[way]["top1"] - max(trap["earliest" + mark]["top1"], trap["deepest" + mark]["top1"])
            least = 0 if sampled else 30
            hold(f"≥ {least} points above both on the traps, {way} depends_on", f"{lead:+.1f}", lead >= least)
    repairs = [result["remedy"] for result in results if result.get("remedy")]
    if repairs:
        worked, worse = share(sum(one["works"] for one in repairs), len(repairs)), sum(bool(one["worse"]) for one in repairs)
        hold("the printed remedy works ≥ 90 %", f"{worked:.1f} % of {len(repairs)}", worked >= 90)
        hold("a remedy makes nothing worse", f"{worse}", worse == 0)
    return found


# ---- the table

def mark(points):
    if points["invented"]:
        return "INV"
    if points["symptoms"]:
        return "SYM"
    return "1" if points["top1"] else "3" if points["top3"] else "-"


def line(result):
    if result.get("problem"):
        return f"{result['name']:<34} {result['half']:<5} {' '.join(result['tags']):<24} {result['status']}: {result['problem']}"
    cells = "".join(f"{mark(result['ways'][way]):>9}" for way in WAYS)
    twin = "ok" if not any(result["twins"].values()) else "INV"
    remedy = "" if not result.get("remedy") else "works" if result["remedy"]["works"] else "fails"
    if result.get("remedy") and result["remedy"]["worse"]:
        remedy += ", WORSE"
    words = "".join("." if not result["ways"][way]["words"] else "w" for way in DAEMONS) + "".join("." if not result["ways"][way]["unexplained"] else "u" for way in DAEMONS)
    return f"{result['name']:<34} {result['half']:<5} {' '.join(result['tags']):<24}{cells}{twin:>6} {words:>5}  {result['seconds']:4.1f} s  {remedy}"


HEAD = f"{'scenario':<34} {'half':<5} {'tags':<24}" + "".join(f"{way:>9}" for way in WAYS) + "  twin  said"
LEGEND = """1: first and whole · 3: among the first three · -: missed · INV: a cause was invented · SYM: a symptom was named as a cause
said: w a word is missing, u a symptom is not explained (with, without) · earliest, deepest: naive rankers, with - without depends_on"""


def summary(results):
    """Lines: a block for each half, for all, for the traps."""
    lines = []
    blocks = [(half, [r for r in results if r["half"] == half]) for half in ("tune", "test")]
    blocks += [("both", results)] * all(of_half for _, of_half in blocks) + [(tag, [r for r in results if tag in r["tags"]]) for tag in TRAPS]
    for title, of_block in blocks:
        if not of_block:
            continue
        lines.append(f"{title} ({len(of_block)} scenarios)")
        for way in WAYS:
            s = sums(of_block, way)
            text = f"   {way:<9} top-1 {s['top1']:5.1f} %  top-3 {s['top3']:5.1f} %  invented {s['invented']:2}  symptoms {s['symptoms']:2}  observer blamed {s['blamed']:2}"
            if way in DAEMONS:
                text += "  " + "  ".join(f"{level} {right}/{count}" for level, (right, count) in s["calibration"].items())
                text += f"  twins {s['twins']}  words {s['words']}  unexplained {s['unexplained']}"
            lines.append(text)
    return lines
