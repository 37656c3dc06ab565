"""Timetables, results and price lists. Each cell is a line."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def lessons() -> Canvas:
    """A class's timetable."""
    page = Canvas(1600, 1200, "#fffef8")
    page.write((800, 60), "三年级二班课程表", 56, "#1f4e79", anchor="ma")
    page.table(
        (80, 180),
        [240, 240, 240, 240, 240, 240],
        130,
        [
            ["", "星期一", "星期二", "星期三", "星期四", "星期五"],
            ["第一节", "语文", "数学", "英语", "作文", "思想品德"],
            ["第二节", "音乐", "体育", "美术", "科学", "信息技术"],
            ["第三节", "书法", "阅读", "手工", "舞蹈", "综合实践"],
            ["第四节", "班会", "自习", "口算", "朗诵", "心理健康"],
            ["第五节", "足球", "乒乓球", "围棋", "合唱", "劳动"],
        ],
        42,
    )
    page.write((80, 1040), "班主任：何丽娟", 42, "#1f4e79")
    page.write((1520, 1040), "2023学年第二学期", 42, "#1f4e79", anchor="ra")
    return page.age(21, noise=4, blur=0.4)


def results() -> Canvas:
    """Examination results on a screen."""
    page = Canvas(1440, 1080, "white")
    page.pen.rectangle((0, 0, 1440, 110), "#2f5597")
    page.write((40, 30), "期末考试成绩汇总", 46, "white")
    page.table(
        (60, 170),
        [260, 200, 200, 200, 200, 260],
        100,
        [
            ["姓名", "语文", "数学", "英语", "物理", "总分"],
            ["张子涵", "112", "138", "125", "87", "462"],
            ["李欣怡", "121", "109", "133", "76", "439"],
            ["王浩然", "98", "145", "117", "94", "454"],
            ["刘梦琪", "126", "115", "141", "81", "463"],
            ["陈俊杰", "105", "129", "108", "90", "432"],
            ["赵雅婷", "118", "136", "122", "85", "461"],
        ],
        40,
        rules="#8ea9db",
    )
    page.write((60, 940), "班级平均分：451.8", 40)
    page.write((760, 940), "打印时间：2024-01-22", 40)
    return page


def prices() -> Canvas:
    """A hairdresser's price list on the wall."""
    page = Canvas(1080, 1440, "#202a36")
    page.write((540, 80), "价目表", 60, "#f0d9a0", "serif", "ma")
    page.table(
        (90, 220),
        [500, 400],
        105,
        [
            ["项目", "价格"],
            ["洗剪吹", "58元"],
            ["儿童理发", "35元"],
            ["烫发（含护理）", "380元"],
            ["染发", "298元起"],
            ["头皮护理", "168元"],
            ["新娘盘发", "520元"],
            ["刮脸修面", "30元"],
            ["充值1000送200", "即日起"],
        ],
        44,
        ink="#f5f0e0",
        rules="#8c7a4e",
    )
    page.write((540, 1260), "预约微信：lisa_hair88", 44, "#f0d9a0", anchor="ma")
    return page.recede(0.05).age(22, noise=8)


def departures() -> Canvas:
    """The departure board of a coach station."""
    page = Canvas(1920, 1080, "#0a0a0a")
    page.write((960, 50), "汽车客运中心发车信息", 56, "#ffb000", anchor="ma")
    page.table(
        (60, 170),
        [320, 440, 360, 300, 380],
        112,
        [
            ["车次", "终点站", "发车时间", "检票口", "状态"],
            ["K1306", "黄山屯溪", "13:05", "7号", "正在检票"],
            ["K2218", "千岛湖", "13:20", "2号", "候车"],
            ["D0457", "景德镇", "13:35", "11号", "晚点20分"],
            ["T5093", "婺源", "14:10", "5号", "有票"],
            ["K3361", "宏村", "14:45", "9号", "余票3张"],
            ["D0772", "九华山", "15:30", "4号", "停运"],
        ],
        46,
        ink="#ffd35c",
        rules="#333333",
    )
    return page.age(23, noise=7, blur=0.8)


SCENES = scenes("table", lessons, results, prices, departures)
