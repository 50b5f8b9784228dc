"""Texts in other encodings: what is sure becomes UTF-8, everything else keeps its bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from services.importer.reading import Reason
from tests.unit.importer.archives import Content, written, zipped

TEXTS = {
    "de": ["Fehler beim Öffnen der Datei für Benutzer müller", "Größe überschritten, Dienst läuft nicht mehr"],
    "fr": ["Échec de la connexion à la base de données", "Délai dépassé pour la requête de l'utilisateur"],
    "es": ["Conexión rechazada por el servidor", "La sesión del usuario señor Muñoz expiró"],
    "pl": ["Nie można otworzyć pliku żądanego przez użytkownika", "Błąd połączenia z bazą danych"],
    "ru": ["Ошибка подключения к базе данных", "Не удалось открыть файл конфигурации", "Служба успешно запущена"],
    "ja": ["データベースへの接続に失敗しました", "設定ファイルが見つかりません", "サービスを開始しました"],
    "zh": ["数据库连接失败", "找不到配置文件", "用户登录成功", "服务已启动"],
    "ko": ["데이터베이스 연결에 실패했습니다", "설정 파일을 찾을 수 없습니다", "사용자가 로그인했습니다"],
}


def log(language: str, lines: int, seed: int = 1) -> str:
    chance = random.Random(seed)
    return "".join(
        f"2024-05-01 10:{n // 60 % 60:02}:{n % 60:02} ERROR [main] com.app.Service{chance.randrange(9)}: "
        f"{chance.choice(TEXTS[language])} id={chance.randrange(99999)} path=/var/x\n"
        for n in range(lines)
    )


@pytest.mark.parametrize("lines", [20, 3000])
@pytest.mark.parametrize(
    ("language", "codec", "name"),
    [
        ("de", "cp1252", "windows-1252"),
        ("fr", "latin-1", "windows-1252"),
        ("es", "cp1252", "windows-1252"),
        ("pl", "cp1250", "windows-1250"),
        ("ru", "cp1251", "windows-1251"),
        ("ru", "koi8_r", "koi8-r"),
        ("ja", "shift_jis", "shift_jis"),
        ("ja", "euc_jp", "euc-jp"),
        ("zh", "gb18030", "gb18030"),
        ("ko", "euc_kr", "euc-kr"),
        ("ja", "utf-16", "utf-16le"),
        ("de", "utf-16-le", "utf-16le"),
        ("de", "utf-16-be", "utf-16be"),
        ("ru", "utf-32", "utf-32le"),
        ("de", "utf-32-be", "utf-32be"),
        ("ja", "utf-8", "utf-8"),
        ("de", "utf-8-sig", "utf-8"),
    ],
)
def test_an_encoding_is_found_and_its_lines_are_utf_8(
    tmp_path: Path, language: str, codec: str, name: str, lines: int
) -> None:
    text = log(language, lines)
    content = Content(written(tmp_path, "a.log", text.encode(codec)))
    assert content.encodings == {"a.log": name}
    assert content.members["a.log"] == text.encode().split(b"\n")[:-1]
    assert not content.problems


def test_a_member_of_an_archive_is_transcoded_too(tmp_path: Path) -> None:
    text = log("ru", 50)
    content = Content(written(tmp_path, "x.zip", zipped(("a.log", text.encode("cp1251")))))
    assert content.members["x.zip!/a.log"] == text.encode().split(b"\n")[:-1]


def test_bytes_that_the_encoding_does_not_have_stay_as_they_are(tmp_path: Path) -> None:
    data = log("ru", 50).encode("cp1251") + b"bad \x98 byte\n"
    assert Content(written(tmp_path, "a.log", data)).members["a.log"][-1] == b"bad \x98 byte"


@pytest.mark.parametrize(
    "data",
    [
        b"caf\xe9\nok\n",
        b"a log line with \xfc and \xe4 in it\n" * 3,
        b"".join(bytes([byte]) + b" some words\n" for byte in range(128, 256)),
        b"\xff\xfe is no mark, but two bytes of this line\nand another line of plain text\n" * 20,
        b"\xfe\xff" + b"plain text follows what looks like a mark\n" * 20,
    ],
    ids=["one byte", "few bytes", "every byte", "false LE mark", "false BE mark"],
)
def test_what_is_not_sure_keeps_its_bytes(tmp_path: Path, data: bytes) -> None:
    content = Content(written(tmp_path, "a.log", data))
    assert content.members == {"a.log": data.split(b"\n")[:-1]}
    assert content.encodings == {"a.log": ""}


def test_a_text_that_becomes_something_else_late_stays_as_it_is(tmp_path: Path) -> None:
    data = b"plain ascii\n" * 10_000 + log("ru", 200).encode("cp1251")
    content = Content(written(tmp_path, "a.log", data))
    assert content.members == {"a.log": data.split(b"\n")[:-1]}
    assert content.encodings == {"a.log": "utf-8"}


def test_damaged_utf_8_is_still_utf_8(tmp_path: Path) -> None:
    data = log("ja", 50).encode()
    data = data[:700] + b"\xff\xfe\n" + data[700:]
    content = Content(written(tmp_path, "a.log", data))
    assert content.members == {"a.log": data.split(b"\n")[:-1]}
    assert content.encodings == {"a.log": "utf-8"}


def test_a_character_that_the_head_cuts_is_no_damage(tmp_path: Path) -> None:
    for shift in range(3):
        data = b"x" * shift + "あ".encode() * 40_000 + b"\n"
        assert Content(written(tmp_path, "a.log", data)).encodings == {"a.log": "utf-8"}


def test_zeros_are_no_utf_16(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "a.log", bytes(100_000)))
    assert content.reasons == [("a.log", Reason.BINARY)]
