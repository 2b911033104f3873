"""The scoring itself: what counts as right, as invented, as a symptom, and what the naive rankers say. The rig runs this before everything else."""
import unittest

import score
from scenario import Scenario


def scenario(*causes, **options):
    tags = options.pop("tags", ("simple",))
    return Scenario("name", tags, None, "tune", causes=tuple(frozenset([one] if isinstance(one, str) else one) for one in causes), **options)


def answer(*causes, **options):
    fields = {"confidence": ["high"] * len(causes), "undetermined": [], "explains": {}, "observer": [], "verdict": "causes", "text": "", "bad": []}
    return {"causes": list(causes)} | fields | options


def status(**checks):
    """{name: since}, all of them failing"""
    return {"checks": [{"name": name, "state": "fail", "since": since} for name, since in checks.items()] + [{"name": "well", "state": "ok", "since": "0"}]}


class Judging(unittest.TestCase):
    def test_one_cause(self):
        one = scenario("db", symptoms=("api",))
        self.assertTrue(score.judge(one, answer("db"))["top1"])
        late = score.judge(one, answer("api", "db"))
        self.assertEqual((late["top1"], late["top3"], late["symptoms"], late["invented"]), (False, True, ["api"], []))
        self.assertEqual(late["calibration"], [("high", False), ("high", True)])
        wrong = score.judge(one, answer("disk"))
        self.assertEqual((wrong["top1"], wrong["top3"], wrong["invented"]), (False, False, ["disk"]))
        self.assertFalse(score.judge(one, answer("a", "b", "c", "db"))["top3"])
        self.assertFalse(score.judge(one, answer())["top1"])

    def test_compound_faults_need_all(self):
        two = scenario("db", {"proxy-port", "proxy"})
        self.assertTrue(score.judge(two, answer("proxy", "db"))["top1"])
        self.assertFalse(score.judge(two, answer("db"))["top1"])
        self.assertFalse(score.judge(two, answer("db"))["top3"])

    def test_nothing_may_be_named(self):
        hang = scenario(undetermined=("orders",))
        self.assertTrue(score.judge(hang, answer(undetermined=["prom", "orders"]))["top1"])
        self.assertFalse(score.judge(hang, answer())["top1"])
        self.assertFalse(score.judge(hang, answer("orders", undetermined=["orders"]))["top1"])
        observer = score.judge(scenario(tags=("observer",)), answer("docker"))
        self.assertEqual((observer["top1"], observer["blamed"], observer["invented"]), (False, ["docker"], ["docker"]))
        self.assertFalse(score.judge(scenario(verdict="healthy"), answer())["top1"])

    def test_known_troubles_may_stand_below(self):
        one = scenario("db", may=("orders",))
        self.assertEqual(score.judge(one, answer("db", "orders"))["invented"], [])
        self.assertFalse(score.judge(one, answer("orders", "db"))["top1"])
        self.assertEqual(score.judge_twin(scenario(standing=("orders",)), answer("orders", "edge")), ["edge"])

    def test_words_count_above_what_is_not_linked(self):
        one = scenario("db", words=("code 7", "a.yml"), not_words=("old",))
        points = score.judge(one, answer("db", text="code 7, old\nNOT LINKED TO THE CAUSE\na.yml"))
        self.assertEqual(points["words"], ["a.yml", "not old"])


class Rankers(unittest.TestCase):
    GRAPH = {"web": ["api"], "api": ["db"]}

    def test_earliest(self):
        self.assertEqual(score.earliest(status(web="3", api="1", db="2"), {}), ["api", "db", "web"])
        self.assertEqual(score.earliest(status(web="1", api="1"), {}), ["api", "web"])

    def test_deepest(self):
        self.assertEqual(score.deepest(status(web="1", api="2", db="3", edge="0"), self.GRAPH)[:2], ["db", "edge"])
        self.assertEqual(score.deepest(status(web="1", api="2", db="3"), {}), ["web", "api", "db"], "without a graph: the earliest")

    def test_they_get_as_many_names_as_there_are_causes(self):
        self.assertEqual(score.naive(["a", "b", "c"], scenario("a", "b"))["causes"], ["a", "b"])
        self.assertEqual(score.naive(["a", "b"], scenario())["causes"], ["a"])
        self.assertEqual(score.naive([], scenario())["causes"], [])


class Thresholds(unittest.TestCase):
    def result(self, **tops):
        ways = {way: {"top1": tops.get(way, False), "top3": True, "invented": [], "symptoms": [], "blamed": [], "calibration": [("high", True)], "words": [], "unexplained": []}
                for way in score.WAYS}
        return {"ways": ways, "tags": ["simple"], "half": "test", "twins": {"with": [], "without": []}}

    def test_they_can_be_missed(self):
        good = [self.result(**{"with": True, "without": True})] * 20
        self.assertEqual([what for what, holds, _ in score.verdicts(good) if not holds], [])
        worse = good[:18] + [self.result(without=True)] * 2
        self.assertTrue(any("top-1 with" in what for what, holds, _ in score.verdicts(worse) if not holds))
        invented = good[:19] + [self.result(**{"with": True, "without": True})]
        invented[-1]["twins"] = {"with": ["docker"], "without": []}
        self.assertEqual([what for what, holds, _ in score.verdicts(invented) if not holds], ["invented causes with = 0"])


if __name__ == "__main__":
    unittest.main()
