#!/usr/bin/env python3
"""A made-up repository for benches: by default 15,000 files of 150 MB in all, 3,300 of them TOML, YAML or JSON, as the first team's is. Reproducible: the same seed,
the same bytes. Its text is what code and configuration look like (words, assignments, a few long lines, some UTF-8, CRLF, some binary); planted findings are counted.

  gen_tree.py FOLDER [--files N] [--megabytes N] [--configs N] [--seed N] [--git]
"""
import argparse
import json
import os
import random
import subprocess

WORDS = ("alpha beta order price signal engine risk limit volume market window cache config handler request response queue worker state status error result "
         "value index series return import class self check runner report metric label target source parse format write "
         "read open close start stop timeout retry batch model train test assert fixture layer position portfolio strategy backtest execution data frame").split()
TELLING = ("token_count", "password_field", "secret_name", "api_key_env", "auth_token")  # as rare as in the first team's repository
PLANTED = ("LIVE_ARMED = 1", "enable_live_trading = true", "aws_key = \"AKIA{upper}\"", "token: ghp_{alnum}", "url = postgres://app:{alnum}@db.internal:5432/app")


def upper(rng, count):
    return "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ234567") for _ in range(count))


def alnum(rng, count):
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(count))


class Tree:
    def __init__(self, options):
        self.options, self.rng, self.planted, self.bytes = options, random.Random(options.seed), 0, 0
        # A pool of lines: made once, so that 150 MB take seconds and not minutes.
        self.code = [self.code_line() for _ in range(20000)]
        self.config = [self.config_line() for _ in range(5000)]

    def words(self, low, high):
        return " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(low, high)))

    def code_line(self):
        rng, kind = self.rng, self.rng.random()
        indent = "    " * rng.randint(0, 4)
        if kind < 0.004:
            return f"{indent}{rng.choice(TELLING)} = {rng.choice(WORDS)}.{rng.choice(WORDS)}({rng.choice(WORDS)})"
        if kind < 0.15:
            return ""
        if kind < 0.35:
            return f"{indent}# {self.words(4, 14)}" + (" Prüfung größer" if rng.random() < 0.02 else "")
        if kind < 0.6:
            return f"{indent}{rng.choice(WORDS)}_{rng.choice(WORDS)} = {rng.choice(WORDS)}({rng.choice(WORDS)}, {rng.random():.4f})"
        if kind < 0.75:
            return f'{indent}log.info("{self.words(3, 9)}: %s", {rng.choice(WORDS)})'
        return f"{indent}if {rng.choice(WORDS)}.{rng.choice(WORDS)}({self.words(1, 2).replace(' ', ', ')}) is None: return {rng.randint(0, 99999)}"

    def config_line(self):
        value = self.rng.choice(["true", "false", "12", "0.25", '"' + self.words(1, 4) + '"'])
        return f"{self.rng.choice(WORDS)}_{self.rng.choice(WORDS)} = {value}"

    def plant(self):
        self.planted += 1
        text = self.rng.choice(PLANTED)
        return text.format(upper=upper(self.rng, 16), alnum=alnum(self.rng, 36))

    def body(self, pool, size):
        lines, length = [], 0
        while length < max(1, size):
            at = self.rng.randrange(len(pool) - 200)
            chunk = pool[at:at + 200]
            lines += chunk
            length += sum(map(len, chunk)) + len(chunk)
        lines = lines[:max(1, int(len(lines) * size / length))]
        if self.rng.random() < 0.02:
            lines.insert(self.rng.randrange(len(lines) + 1), self.plant())
        return ("\r\n" if self.rng.random() < 0.01 else "\n").join(lines) + "\n"

    def write(self, name, data):
        path = os.path.join(self.options.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        self.bytes += len(data)

    def make(self):
        options, rng = self.options, self.rng
        rest = options.files - options.configs
        mean = options.megabytes * 1000000 / options.files
        for i in range(options.configs):
            extension = rng.choice(["toml", "yml", "yaml", "json"])
            size = int(min(rng.expovariate(1 / (mean / 4)), mean * 4))
            text = self.body(self.config, size) if extension != "json" else json.dumps({f"k{j}": self.words(1, 5) for j in range(size // 40 + 1)}, indent=1)
            self.write(f"config/{i % 60:02d}/{i:05d}.{extension}", text.encode())
        for i in range(rest):
            left = options.megabytes * 1000000 - self.bytes
            size = int(rng.expovariate(1 / max(200.0, left / (rest - i))))
            if i % 500 == 499:
                self.write(f"data/{i:05d}.bin", rng.randbytes(size))
            else:
                self.write(f"{rng.choice(['src', 'tests', 'docs', 'scripts'])}/p{i % 150:03d}/m{i:05d}.{rng.choice(['py', 'md', 'sh', 'txt'])}", self.body(self.code, size).encode())
        if options.git:
            environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": "/nonexistent"}
            for command in (["init", "-q", "-b", "main"], ["add", "-A"]):
                subprocess.run(["git", *command], cwd=options.folder, env=environment, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    for name, value in (("files", 15000), ("megabytes", 150), ("configs", 3300), ("seed", 1)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--git", action="store_true")
    tree = Tree(parser.parse_args())
    tree.make()
    print(json.dumps({"files": tree.options.files, "bytes": tree.bytes, "planted": tree.planted}))


if __name__ == "__main__":
    main()
