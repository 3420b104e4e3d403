"""Metadata in their published forms become lists of clips with the papers' splits; any other form is one clear line."""

import json
from collections import Counter
from pathlib import Path

import pytest
from published_files import write_audioset, write_clean, write_esc50, write_music, write_vggsound, youtube_id

from trisep.datasets import list_clips
from trisep.datasets.clip_list import tidy_label
from trisep.errors import ConfigError


def test_music_gives_the_first_two_videos_of_each_class_to_validation_and_test(tmp_path: Path) -> None:
    solos = write_music(tmp_path / "MUSIC_solo_videos.json", {"acoustic_guitar": 4, "flute": 3})
    duets = write_music(tmp_path / "MUSIC_duet_videos.json", {"flute acoustic_guitar": 3})
    clips = list_clips("music", [solos, duets], tmp_path)
    assert [(clip.media_id, clip.split) for clip in clips[:4]] == [
        (youtube_id(number), split) for number, split in enumerate(("validation", "test", "train", "train"))
    ]
    assert [clip.labels for clip in (clips[0], clips[4], clips[7])] == [
        ("acoustic guitar",),
        ("flute",),
        ("flute", "acoustic guitar"),
    ]
    assert Counter(clip.split for clip in clips) == {"train": 4, "validation": 3, "test": 3}
    assert all(
        clip.key == clip.media_id and clip.start_seconds is None and clip.listed_seconds is None for clip in clips
    )


def test_the_rule_of_a_fifth_tests_on_solos_only_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    path = write_music(tmp_path / "MUSIC21_solo_videos.json", {"drum": 50, "ukulele": 10, "flute violin": 10})
    clips = list_clips("music21", [path], tmp_path)
    assert Counter((clip.labels, clip.split) for clip in clips) == {
        (("drum",), "train"): 40,
        (("drum",), "test"): 10,
        (("ukulele",), "train"): 8,
        (("ukulele",), "test"): 2,
        (("flute", "violin"), "train"): 10,
    }
    content = json.loads(path.read_text())
    content["videos"]["drum"].reverse()
    path.write_text(json.dumps(content))
    assert {(clip.key, clip.split) for clip in list_clips("music21", [path], tmp_path)} == {
        (clip.key, clip.split) for clip in clips
    }
    assert list_clips("music21", [path], tmp_path, rule="first-two")[0].split == "validation"


def test_solos_tidies_its_class_names(tmp_path: Path) -> None:
    path = tmp_path / "solos_ids.json"
    path.write_text(json.dumps({"DoubleBass": [youtube_id(number) for number in range(3)], "Horn": [youtube_id(3)]}))
    clips = list_clips("solos", [path], tmp_path)
    assert [(clip.labels, clip.split) for clip in clips] == [
        (("double bass",), "validation"),
        (("double bass",), "test"),
        (("double bass",), "train"),
        (("horn",), "validation"),
    ]


def test_audioset_keeps_instruments_and_splits_the_balanced_list(tmp_path: Path) -> None:
    clips = list_clips("audioset", write_audioset(tmp_path), tmp_path)
    assert len(clips) == 11
    first = clips[0]
    assert (first.key, first.start_seconds, first.end_seconds, first.labels, first.split) == (
        f"{youtube_id(0)}_000030",
        30.0,
        40.0,
        ("violin",),
        "train",
    )
    assert f"{youtube_id(0)}_30000_40000" in first.cut_names
    assert clips[1].labels == ("cello", "marimba") and {clip.split for clip in clips[1:]} == {"validation", "test"}


def test_vggsound_keeps_its_own_split_and_quoted_labels(tmp_path: Path) -> None:
    clips = list_clips("vggsound", [write_vggsound(tmp_path / "vggsound.csv")], tmp_path)
    assert [(clip.key, clip.end_seconds, clip.labels[0], clip.split) for clip in clips] == [
        (f"{youtube_id(0)}_000030", 40.0, "female speech, woman speaking", "train"),
        (f"{youtube_id(1)}_000000", 10.0, "dog barking", "train"),
        (f"{youtube_id(2)}_000118", 128.0, "playing harp", "test"),
    ]


def test_vggsound_clean_takes_starts_from_vggsound_where_it_is_given(tmp_path: Path) -> None:
    clean, full = write_clean(tmp_path / "test-good.csv"), write_vggsound(tmp_path / "vggsound.csv")
    assert [clip.start_seconds for clip in list_clips("vggsound-clean", [clean], tmp_path)] == [None, None]
    clips = list_clips("vggsound-clean", [full, clean], tmp_path)
    assert [(clip.media_id, clip.start_seconds, clip.split) for clip in clips] == [
        (youtube_id(2), 118.0, "test"),
        (youtube_id(3), None, "test"),
    ]


def test_esc50_keeps_its_folds(tmp_path: Path) -> None:
    clips = list_clips("esc50", [write_esc50(tmp_path / "esc50.csv")], tmp_path)
    assert [(clip.key, clip.labels, clip.split) for clip in clips] == [
        ("1-100032-A-0", ("dog",), "fold1"),
        ("5-9032-A-12", ("crackling fire",), "fold5"),
    ]


def test_a_folder_takes_its_own_folders_as_labels(tmp_path: Path) -> None:
    for name in ("a.mp4", "Snow_Leopard/a.webm", ".hidden/b.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"0")
    clips = list_clips("folder", [], tmp_path)
    assert [(clip.source, clip.labels) for clip in clips] == [("Snow_Leopard/a.webm", ("snow leopard",)), ("a.mp4", ())]


@pytest.mark.parametrize(
    ("label", "tidy"), [("acoustic_guitar", "acoustic guitar"), ("DoubleBass", "double bass"), (" Horn ", "horn")]
)
def test_labels_become_words(label: str, tidy: str) -> None:
    assert tidy_label(label) == tidy


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("music", "YTID,start\n", "expected JSON"),
        ("music", '{"flute": ["abcdefghijk"]}', '"videos"'),
        ("music", '{"videos": {"flute": ["../../etc/x"]}}', "class flute: expected the id of a video"),
        ("music", '{"videos": {"flute": []}}', "lists no clip"),
        ("solos", '{"Horn": {"abcdefghijk": [[0, 99]]}}', "expected {CLASS"),
        ("audioset", "abcdefghijk, 0.0, 10.0, /m/0\n", "AudioSet needs"),
        ("vggsound", "abcdefghijk,30,dog barking\n", "line 1: expected 4 columns"),
        ("vggsound", "abcdefghijk,soon,dog barking,train\n", "expected a time in seconds, got 'soon'"),
        ("vggsound", "$(reboot)xx,30,dog barking,train\n", "expected the id of a video"),
        ("vggsound", "abcdefghijk,30,dog barking,dev\n", "expected train or test"),
        ("vggsound-clean", "abcdefghijk,30,dog barking,train\n", "test-good.csv"),
        ("esc50", "filename,fold,category\nx.wav,1,dog\n", "expected 7 columns"),
        ("esc50", "filename,fold,target,category,esc10,src_file,take\n../x.wav,1,0,dog,True,1,A\n", "'../x.wav'"),
        ("folder", "", "has none"),
    ],
)
def test_another_form_is_one_clear_line(tmp_path: Path, name: str, content: str, expected: str) -> None:
    path = tmp_path / "metadata"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        list_clips(name, [path], tmp_path)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_missing_binary_and_incomplete_metadata_are_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="it is not text"):
        list_clips("music", [tmp_path / "video.mp4"], tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        list_clips("vggsound", [tmp_path / "vggsound.csv"], tmp_path)
    for name in ("music", "solos", "audioset", "vggsound", "vggsound-clean", "esc50"):
        with pytest.raises(ConfigError, match="--metadata is missing: give "):
            list_clips(name, [], tmp_path)
    with pytest.raises(ConfigError, match="unknown data set 'musik'"):
        list_clips("musik", [], tmp_path)
    with pytest.raises(ConfigError, match="has a split of its own"):
        list_clips("vggsound", [write_vggsound(tmp_path / "vggsound.csv")], tmp_path, rule="fifth")
    unbalanced, balanced, classes = write_audioset(tmp_path)
    classes.write_text(classes.read_text().replace("Banjo", "Lute"))
    with pytest.raises(ConfigError, match="names no class banjo"):
        list_clips("audioset", [unbalanced, balanced, classes], tmp_path)
