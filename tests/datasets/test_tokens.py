"""`ganymede dataset tokenize` against byte pair encoding written here from its papers, with words cut by Python's
`regex`. GANYMEDE and HDF5_TOOL name the programs."""

import collections
import json
import os
import subprocess

import h5py
import numpy as np
import pytest
import regex

PROGRAM, TOOL = os.environ["GANYMEDE"], os.environ["HDF5_TOOL"]
PATTERN = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")
END = "<|endoftext|>"
CAPTIONS = [f"{a} {left} {b}" for a in ("a red square", "a blue circle", "a green triangle", "the red circle's twin")
            for b in ("a red square", "a blue disc", "two green squares") for left in ("left of", "right of", "below")]
HARD = ["", " ", "  two  spaces  ", "tabs\tand\nlines\r\n end ", "don't you'll I'VE we'd",
        "naïve 日本語 ١٢٣ x²",
        "🙂🙃 e\u0301 'quoted' ''s", "a\u00a0b\u3000c", "3.14 and 1,000", "ENDS with space "]


def tokenize(*arguments):
    return dataset("tokenize", *arguments)


def dataset(*arguments):
    return subprocess.run([PROGRAM, "dataset", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def words_of(path, text):
    path.write_bytes(text.encode())
    return json.loads(subprocess.run([TOOL, "words", path], capture_output=True, check=True).stdout)


def refused(code, *arguments):
    result = tokenize(*arguments)
    assert result.returncode == code, (result.returncode, result.stderr)
    assert result.stderr.count("\n") == 1, result.stderr
    print(result.stderr)
    return result.stderr


def pixels(count):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), np.uint8)


def write(path, captions, images=None, dtype=h5py.string_dtype()):
    count = len(captions) if images is None else images
    with h5py.File(path, "w") as file:
        file["images"] = pixels(count)
        file["labels"] = np.arange(count) % 3
        file.create_dataset("captions", data=captions, dtype=dtype)
    return path


def alphabet():
    """The characters that stand for bytes, by byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


CHARACTERS = alphabet()


def symbols(word):
    return tuple(CHARACTERS[byte] for byte in word.encode())


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def train(texts, size):
    """Ids by token, and pairs in the order of merging."""
    ids = {character: i for i, character in enumerate(sorted(CHARACTERS.values()))}
    words = collections.Counter(symbols(word) for text in texts for word in PATTERN.findall(text))
    merges = []
    while len(ids) < size - 1:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs or max(pairs.values()) < 2:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        joined = collections.Counter()
        for word, count in words.items():
            joined[merged(word, best)] += count
        words = joined
    return ids | {END: len(ids)}, merges


def encode(text, ids, merges):
    ranks = {pair: i for i, pair in reversed(list(enumerate(merges)))}
    tokens = []
    for word in PATTERN.findall(text):
        word = symbols(word)
        while pairs := [pair for pair in zip(word, word[1:]) if pair in ranks]:
            word = merged(word, min(pairs, key=ranks.get))
        tokens += [ids[token] for token in word]
    return tokens


def rows(captions, ids, merges, length):
    return np.array([(encode(c, ids, merges)[:length - 1] + [ids[END]] * length)[:length] for c in captions])


def vocabulary_in(path):
    with h5py.File(path) as file:
        vocab, merges = (text.decode() for text in file["vocabulary"][:])
    lines = merges.splitlines()
    assert lines[0].startswith("#version")
    return json.loads(vocab), [tuple(line.split(" ")) for line in lines[1:]]


def test_words_are_those_of_the_pattern(tmp_path):
    """Every character beside letters, and at the ends of runs."""
    every = "".join(f"x{chr(c)}x {chr(c)}{chr(c)} " for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000)
    text = every + "\n".join(HARD)
    assert words_of(tmp_path / "text", text) == PATTERN.findall(text)
    for text in HARD:
        assert words_of(tmp_path / "text", text) == PATTERN.findall(text)


def test_learns_a_vocabulary(tmp_path):
    captions = CAPTIONS + HARD
    path = write(tmp_path / "a.h5", captions)
    result = tokenize(path, "--vocabulary", 300)
    assert result.returncode == 0, result.stderr
    ids, merges = train(captions, 300)
    assert len(ids) == 300
    found_ids, found_merges = vocabulary_in(path)
    assert found_merges == merges and found_ids == ids
    with h5py.File(path) as file:
        tokens = file["tokens"][:]
        assert tokens.dtype == np.int32
        assert [text.decode() for text in file["captions"][:]] == captions
        assert (file["images"][:] == pixels(len(captions))).all()
        assert (file["labels"][:] == np.arange(len(captions)) % 3).all()
        assert {"tokens", "captions", "vocabulary"} <= set(file["integrity"])
    longest = max(len(encode(c, ids, merges)) for c in captions) + 1
    assert tokens.shape == (len(captions), longest)
    assert ", 0 cut" in result.stdout and f"--text.length {longest}" in result.stdout
    assert (tokens == rows(captions, ids, merges, longest)).all()
    info = dataset("info", path)
    assert f"{longest} an image, of a vocabulary of 300" in info.stdout, info
    assert dataset("verify", path).returncode == 0
    # The same again, also of a file that has tokens already, and of strings of fixed length.
    assert tokenize(path, "--vocabulary", 300, "--out", tmp_path / "b.h5").returncode == 0
    again = write(tmp_path / "c.h5", [c.encode() for c in captions], dtype=f"S{max(len(c.encode()) for c in captions)}")
    assert tokenize(again, "--vocabulary", 300).returncode == 0
    for other in (tmp_path / "b.h5", again):
        with h5py.File(other) as file:
            assert (file["tokens"][:] == tokens).all()


def test_takes_a_vocabulary_of_ones_own(tmp_path):
    ids, merges = train(CAPTIONS, 320)
    order = list(ids)
    np.random.default_rng(1).shuffle(order)
    ids = {token: i for i, token in enumerate(order)}
    folder = tmp_path / "gpt"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    captions = CAPTIONS + HARD
    path, out = write(tmp_path / "a.h5", captions), tmp_path / "b.h5"
    result = tokenize(path, "--vocabulary", folder, "--length", 9, "--out", out)
    assert result.returncode == 0, result.stderr
    expected = rows(captions, ids, merges, 9)
    with h5py.File(out) as file:
        assert (file["tokens"][:] == expected).all()
    cut = sum(len(encode(c, ids, merges)) > 8 for c in captions)
    assert cut > 0 and f", {cut} cut" in result.stdout
    assert vocabulary_in(out)[1] == merges and vocabulary_in(out)[0] == ids
    with h5py.File(path) as file:
        assert "tokens" not in file


def test_packs_captions(tmp_path):
    from PIL import Image
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "lines.txt").write_bytes("one\n\ndrei ü\n".encode())
    packed = dataset("pack", tmp_path / "in", tmp_path / "a.h5", "--captions", tmp_path / "lines.txt")
    assert packed.returncode == 0, packed.stderr
    with h5py.File(tmp_path / "a.h5") as file:
        assert [text.decode() for text in file["captions"][:]] == ["one", "", "drei ü"]
    assert tokenize(tmp_path / "a.h5", "--vocabulary", 257).returncode == 0
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    packed = dataset("pack", tmp_path / "in", tmp_path / "b.h5", "--captions", tmp_path / "lines.txt")
    assert packed.returncode == 3 and "2 lines for 3 images" in packed.stderr


def test_refuses_what_is_no_caption(tmp_path):
    path = write(tmp_path / "a.h5", CAPTIONS)
    before = path.read_bytes()
    assert "--vocabulary is missing" in refused(2, path)
    assert "257" in refused(2, path, "--vocabulary", 100)
    assert "cannot be read" in refused(3, path, "--vocabulary", tmp_path / "none")
    assert "exists" in refused(2, path, "--vocabulary", 300, "--out", path)
    spoilt = write(tmp_path / "b.h5", [c.encode() for c in CAPTIONS[:4]] + [b"\xff\xfe"], dtype="S40")
    kept = spoilt.read_bytes()
    assert "that of image 4 is not UTF-8" in refused(3, spoilt, "--vocabulary", 300)
    assert spoilt.read_bytes() == kept and path.read_bytes() == before
    assert "expected UTF-8 strings [7]" in refused(3, write(tmp_path / "c.h5", CAPTIONS, images=7), "--vocabulary", 300)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["images"] = np.zeros((3, 1, 4, 4), np.uint8)
    assert "no captions (/captions)" in refused(3, tmp_path / "d.h5", "--vocabulary", 300)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.h5", "d.h5"]


def test_refuses_damaged_tokens(tmp_path):
    path = write(tmp_path / "a.h5", CAPTIONS)
    assert tokenize(path, "--vocabulary", 300).returncode == 0
    with h5py.File(path, "a") as file:
        file["tokens"][5, 0] += 1
    verify = dataset("verify", path)
    assert verify.returncode == 3 and "/tokens: block 0" in verify.stderr
    assert tokenize(path, "--vocabulary", 300).returncode == 0  # made anew of the captions
    with h5py.File(path, "a") as file:
        del file["vocabulary"]
    info = dataset("info", path)
    assert info.returncode == 3 and "/vocabulary is missing" in info.stderr
    with h5py.File(path, "a") as file:
        del file["tokens"]
        file["tokens"] = np.zeros((3, 4), np.int32)
    info = dataset("info", path)
    assert info.returncode == 3 and "/tokens has shape [3, 4]" in info.stderr
