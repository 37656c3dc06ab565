"""Screenshots of conversations on a phone."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.demo.canvas import Canvas, font
from indexer.demo.scenes.scene import scenes


@dataclass(frozen=True)
class _Theme:
    page: str
    bar: str
    ink: str
    theirs: str
    mine: str


_LIGHT = _Theme("#ededed", "#f7f7f7", "#191919", "#ffffff", "#95ec69")
_DARK = _Theme("#111111", "#1e1e1e", "#d5d5d5", "#2c2c2c", "#3eb575")


def dinner() -> Canvas:
    """Two friends arrange to meet."""
    return _chat(
        _LIGHT,
        "18:26",
        "小雨",
        [
            ("<", "周末一起去吃火锅吗？"),
            (">", "好啊，几点？"),
            ("<", "周六晚上六点半，"),
            ("<", "新街口那家海底捞"),
            (">", "需要提前排号吧"),
            ("<", "我已经订好了，四人桌"),
            (">", "太棒了，要不要叫上阿哲"),
            ("<", "他说加班可能晚点到"),
            (">", "那我开车过去接你们"),
        ],
    )


def night_shift() -> Canvas:
    """Colleagues at night, in dark colours."""
    return _chat(
        _DARK,
        "23:51",
        "项目上线群(12)",
        [
            ("<", "数据库迁移完成了"),
            (">", "收到，开始灰度发布"),
            ("<", "监控显示延迟正常"),
            (">", "错误率0.02%，可以接受"),
            ("<", "那就继续放量到50%"),
            (">", "明早八点全量"),
            ("<", "大家辛苦了，早点休息"),
            (">", "晚安"),
        ],
    )


def delivery() -> Canvas:
    """Automatic messages."""
    screen = Canvas(1080, 1920, "#f2f2f7")
    _status(screen, "09:14", "#191919")
    screen.write((540, 130), "通知中心", 48, anchor="ma")
    messages = [
        ("菜鸟驿站", "08:57", ["您的包裹已到幸福路店，", "取件码 8-3-2046，请于今日22点前领取。"]),
        ("招商银行", "09:02", ["您尾号7731的账户于09:02支出", "人民币58.60元，余额3912.44元。"]),
        ("验证码", "昨天", ["您的登录验证码是 640297，", "五分钟内有效，请勿泄露给他人。"]),
        ("天气预报", "星期二", ["今天多云转小雨，17到23度，", "东南风三级，出门请带伞。"]),
        ("图书馆", "5月22日", ["您借阅的《平凡的世界》将于", "5月30日到期，请及时归还或续借。"]),
    ]
    y = 240
    for sender, moment, lines in messages:
        screen.pen.rounded_rectangle((40, y, 1040, y + 250), 30, "white")
        screen.write((80, y + 30), sender, 40, "#0a60c2")
        for row, line in enumerate(lines):
            screen.write((80, y + 105 + row * 65), line, 42, "#222222")
        screen.write((1000, y + 36), moment, 24, "#8a8a8e", anchor="ra")
        y += 290
    return screen


def family() -> Canvas:
    """A family group, from a phone with a small screen."""
    return _chat(
        _LIGHT,
        "07:40",
        "相亲相爱一家人",
        [
            ("<", "爷爷的体检报告出来了"),
            ("<", "血压偏高，其他都挺好"),
            (">", "医生怎么说？"),
            ("<", "少吃盐，按时吃降压药"),
            (">", "我周三请假回来一趟"),
            ("<", "路上注意安全"),
            (">", "妈，冰箱里的饺子别忘了吃"),
        ],
        width=900,
    )


def _chat(theme: _Theme, time: str, title: str, messages: Sequence[tuple[str, str]], width: int = 1080) -> Canvas:
    screen = Canvas(width, 1920, theme.page)
    screen.pen.rectangle((0, 0, width, 200), theme.bar)
    _status(screen, time, theme.ink)
    screen.write((width / 2, 120), title, 48, theme.ink, anchor="ma")
    y = 280
    for side, text in messages:
        wide = font("sans", 42).getlength(text) + 70
        mine = side == ">"
        left = width - 170 - wide if mine else 170
        face = (width - 140, y, width - 40, y + 100) if mine else (40, y, 140, y + 100)
        screen.pen.rounded_rectangle(face, 12, "#d9a066" if mine else "#6699cc")
        screen.pen.rounded_rectangle((left, y, left + wide, y + 100), 16, theme.mine if mine else theme.theirs)
        ink = "#101010" if mine else theme.ink
        screen.write((left + 35, y + 50), text, 42, ink, anchor="lm")
        y += 160
    screen.pen.rectangle((0, 1780, width, 1920), theme.bar)
    return screen


def _status(screen: Canvas, time: str, ink: str) -> None:
    screen.write((60, 30), time, 40, ink)
    right = screen.image.width - 60
    screen.pen.rounded_rectangle((right - 70, 38, right, 70), 6, outline=ink, width=3)
    screen.pen.rectangle((right - 64, 44, right - 20, 64), ink)


SCENES = scenes("chat", dinner, night_shift, delivery, family)
