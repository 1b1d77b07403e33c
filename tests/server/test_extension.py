"""The web extension in the real frontend: the one that ComfyUI asks for, and a newer one with
Nodes 2.0 where the machine has it.
"""

import re
from io import BytesIO

import pytest
from PIL import Image


def put(canvas, kind: str) -> None:
    """Clear the canvas and put one node of this kind on it, as the user does."""
    canvas.keyboard.press("Escape")  # the newer frontend greets with its templates
    canvas.evaluate(
        """kind => {
            app.graph.clear();
            // Some frontends remember widgets by graph and node, and a new workflow has its own id.
            app.graph.id = crypto.randomUUID();
            const node = LiteGraph.createNode(kind);
            node.pos = [60, 60];
            app.graph.add(node);
            app.canvas.ds.scale = 1;
            app.canvas.ds.offset = [300, 60];
            app.canvas.setDirty(true, true);
        }""",
        kind,
    )


def starts_with(text: str) -> re.Pattern:
    return re.compile("^" + re.escape(text))


def reload(canvas) -> None:
    """Save the workflow and open what was saved."""
    canvas.evaluate("app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")


def exported(canvas) -> list[dict]:
    """The nodes in the API form."""
    return list(canvas.evaluate("app.graphToPrompt().then(form => form.output)").values())


class TestFaceParts:
    def pick(self, canvas, part: str) -> None:
        canvas.locator(f".visage-face [data-part={part}]").click()

    def parts(self, canvas) -> list[str]:
        (node,) = exported(canvas)
        return node["inputs"]["parts"].split(", ")

    def lit(self, canvas) -> set[str]:
        shapes = canvas.locator(".visage-face [data-part][aria-checked=true]")
        return set(shapes.evaluate_all("shapes => shapes.map(shape => shape.dataset.part)"))

    def test_a_click_adds_a_part_and_another_takes_it_out(self, canvas):
        put(canvas, "VisageFaceMask")
        self.pick(canvas, "hat")
        assert self.parts(canvas) == ["face", "hat"]
        self.pick(canvas, "hat")
        assert self.parts(canvas) == ["face"]

    def test_a_part_is_chosen_with_the_keyboard(self, canvas):
        put(canvas, "VisageFaceMask")
        hat = canvas.get_by_role("checkbox", name="hat", exact=True)
        hat.focus()
        assert canvas.locator(".visage-face-parts .visage-caption").text_content() == "hat"
        hat.press(" ")
        assert self.parts(canvas) == ["face", "hat"]
        hat.press("Enter")
        assert self.parts(canvas) == ["face"]
        assert canvas.evaluate("app.graph.nodes.length") == 1, "no key reached the page"

    def test_a_part_of_a_preset_can_be_taken_out(self, canvas):
        put(canvas, "VisageFaceMask")
        canvas.locator("[data-preset=lips]").click()
        self.pick(canvas, "upper_lip")
        assert self.parts(canvas) == ["lower_lip"]
        assert self.lit(canvas) == {"lower_lip"}
        self.pick(canvas, "upper_lip")
        assert self.parts(canvas) == ["lips"]

    def test_the_last_part_stays(self, canvas):
        put(canvas, "VisageFaceMask")
        canvas.locator("[data-preset=eyes]").click()
        for eye in ("left_eye", "right_eye"):
            self.pick(canvas, eye)
        assert self.parts(canvas) == ["right_eye"]

    def test_the_face_shows_what_the_list_says(self, canvas):
        put(canvas, "VisageFaceMask")
        canvas.evaluate(
            "app.graph.nodes[0].widgets.find(w => w.name === 'parts').value = ['skin', 'hat']"
        )
        assert self.lit(canvas) == {"skin", "nose", "hat"}

    def test_nothing_is_saved_but_the_nodes_own_values(self, canvas):
        put(canvas, "VisageFaceMask")
        canvas.locator("[data-preset=eyes]").click()
        saved = canvas.evaluate("app.graph.serialize()")
        assert saved["nodes"][0]["widgets_values"] == [
            ["eyes"], "all", 0, "binary", True, True, "empty mask",
        ]  # fmt: skip
        reload(canvas)
        assert self.parts(canvas) == ["eyes"]
        assert self.lit(canvas) == {"left_eye", "right_eye"}

    def test_it_is_folded_where_a_workflow_has_no_room_for_it(self, canvas):
        put(canvas, "VisageFaceMask")
        face = canvas.locator(".visage-face")
        reload(canvas)
        face.wait_for(state="visible")
        canvas.locator(".visage-fold").click()
        face.wait_for(state="hidden")
        reload(canvas)
        canvas.locator(".visage-fold").wait_for(state="visible")
        canvas.locator(".visage-face").wait_for(state="hidden")

    def test_works_inside_a_subgraph(self, canvas):
        put(canvas, "VisageFaceMask")
        canvas.evaluate("void app.graph.convertToSubgraph(new Set(app.graph.nodes))")
        canvas.wait_for_timeout(300)  # until the frontend has taken the node off the canvas
        canvas.evaluate(
            "app.canvas.setGraph(app.graph.nodes[0].subgraph); app.canvas.ds.offset = [300, 60]"
        )
        self.pick(canvas, "hat")
        canvas.evaluate("app.canvas.setGraph(app.graph.rootGraph)")
        assert self.parts(canvas) == ["face", "hat"]


class TestComparison:
    """Two grounds of one colour each, so that a pixel says which picture lies there."""

    RED, BLUE = 0xC00000, 0x0000C0

    def compare(self, canvas, kind: str, batch: int = 1) -> None:
        """Queue a node that shows a red picture before and a blue one after."""
        put(canvas, kind)
        canvas.evaluate(
            """async ([colours, batch]) => {
                const [shown] = app.graph.nodes;
                shown.pos = [360, 60];
                const put = (kind, values, y) => {
                    const node = LiteGraph.createNode(kind);
                    for (const widget of node.widgets ?? [])
                        if (widget.name in values) widget.value = values[widget.name];
                    node.pos = [-20, y];
                    app.graph.add(node);
                    return node;
                };
                const size = { width: 64, height: 64 };
                const [before, after] = colours.map((color, i) =>
                    put('EmptyImage', { ...size, batch_size: batch, color }, 200 * i));
                if (shown.comfyClass === 'VisageCompare') {
                    before.connect(0, shown, 'before');
                    after.connect(0, shown, 'after');
                } else {
                    const mask = put('SolidMask', { ...size, value: 1 }, 400);
                    before.connect(0, shown, 'original');
                    after.connect(0, shown, 'edited');
                    mask.connect(0, shown, 'mask');
                    shown.connect(0, put('PreviewImage', {}, 600), 0);
                }
                await app.queuePrompt(0);
            }""",
            [[self.RED, self.BLUE], batch],
        )
        self.wait(canvas)

    def wait(self, canvas) -> None:
        shown = "document.querySelector('.visage-stage img')?.naturalWidth === 64"
        canvas.wait_for_function(shown, timeout=60_000)

    def colours(self, canvas) -> str:
        """What lies at tenths of the picture's width: r or b."""
        stage = canvas.locator(".visage-stage")
        picture = Image.open(BytesIO(stage.screenshot())).convert("RGB")
        y = picture.height // 4
        points = [picture.getpixel((round((i + 0.5) * picture.width / 10), y)) for i in range(10)]
        return "".join("r" if red > blue else "b" for red, _, blue in points)

    @pytest.mark.parametrize("kind", ["VisageCompare", "VisagePixelBlend"])
    def test_the_slider_parts_the_pictures(self, canvas, kind):
        self.compare(canvas, kind)
        stage = canvas.locator(".visage-stage")
        assert self.colours(canvas) == "rrrrrbbbbb"
        box = stage.bounding_box()
        canvas.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
        assert self.colours(canvas) == "rrbbbbbbbb"
        canvas.keyboard.press("End")
        assert self.colours(canvas) == "rrrrrrrrrr"
        for _ in range(3):
            canvas.keyboard.press("PageDown")
        assert self.colours(canvas) == "rrrrrrrbbb"
        canvas.keyboard.press("ArrowLeft")
        slider = canvas.get_by_role("slider", name="from ")
        assert slider.get_attribute("aria-valuetext").startswith("69 % ")

    def test_turns_the_pages_of_a_batch(self, canvas):
        self.compare(canvas, "VisageCompare", batch=2)
        pager = canvas.locator(".visage-pager")
        first = canvas.locator(".visage-before").get_attribute("src")
        assert "1 / 2" in pager.text_content()
        pager.get_by_label("next pair").click()
        assert "2 / 2" in pager.text_content()
        assert canvas.locator(".visage-before").get_attribute("src") != first

    def test_pixel_blend_shows_its_proof(self, canvas):
        self.compare(canvas, "VisagePixelBlend")
        proof = canvas.locator(".visage-proof.visage-untouched")
        assert proof.text_content().startswith("picture 1: ")

    def test_comes_back_with_its_workflow_also_from_the_cache(self, canvas):
        for _ in range(2):
            canvas.evaluate("app.nodeOutputs = {}")
            self.compare(canvas, "VisagePixelBlend", batch=2)
        canvas.evaluate(
            """async () => {
                const outputs = JSON.parse(JSON.stringify(app.nodeOutputs));
                await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())));
                app.nodeOutputs = outputs;
            }"""
        )
        self.wait(canvas)
        assert canvas.locator(".visage-proof").is_visible()

    def test_is_shown_when_comfyui_has_the_result_in_its_cache(self, canvas):
        for _ in range(2):
            self.compare(canvas, "VisagePixelBlend", batch=3)
            assert canvas.locator(".visage-proof").is_visible()


class TestColours:
    def colour(self, canvas) -> str:
        (node,) = exported(canvas)
        return node["inputs"]["colour"]

    def checked(self, canvas) -> list[str]:
        swatches = canvas.locator(".visage-swatch[aria-checked=true]")
        return swatches.evaluate_all("swatches => swatches.map(swatch => swatch.title)")

    def test_a_click_chooses_a_colour_and_it_is_saved(self, canvas):
        put(canvas, "VisageRecolour")
        assert self.checked(canvas) == ["copper"]
        canvas.locator(".visage-swatches").get_by_label("teal").click()
        assert self.colour(canvas) == "#1f7a78"
        reload(canvas)
        assert self.colour(canvas) == "#1f7a78"
        assert self.checked(canvas) == ["teal"]

    def test_the_field_gives_any_other(self, canvas):
        put(canvas, "VisageRecolour")
        canvas.locator(".visage-swatches input").fill("#123456")
        assert self.colour(canvas) == "#123456"
        assert self.checked(canvas) == []


class TestLossCurve:
    def test_a_training_draws_its_loss(self, canvas):
        put(canvas, "VisageTrainStyleLora")
        canvas.evaluate(
            """async () => {
                const [training] = app.graph.nodes;
                const put = (kind) => {
                    const node = LiteGraph.createNode(kind);
                    app.graph.add(node);
                    return node;
                };
                const set = (node, values) => {
                    for (const [name, value] of Object.entries(values))
                        node.widgets.find(widget => widget.name === name).value = value;
                };
                const [starter, picture] = ['VisageLoadStarter', 'EmptyImage'].map(put);
                set(picture, { width: 64, height: 64 });
                set(training, { rank: 1, steps: 3, size: 64 });
                for (const slot of [0, 1, 2]) starter.connect(slot, training, slot);
                picture.connect(0, training, 'image');
                training.connect(1, put('LossGraphNode'), 'loss');
                const { api } = await import('/scripts/api.js');
                api.addEventListener('execution_success', () => { window.trained = true; });
                await app.queuePrompt(0);
            }"""
        )
        caption = canvas.locator(".visage-loss .visage-caption")
        caption.filter(has_text="step 3 of 3, loss 0.").wait_for(timeout=120_000)
        line = canvas.locator(".visage-mean").get_attribute("points")
        assert len(line.split()) == 3
        # Until then the run's messages reach this page, and that of the tests that follow.
        canvas.wait_for_function("window.trained", polling=500)
        curve = canvas.get_by_role("slider", name="loss by step")
        curve.focus()
        for key, step in (("ArrowLeft", 2), ("Home", 1), ("End", 3)):
            curve.press(key)
            assert caption.text_content().startswith(f"at step {step}: 0.")
        curve.press("Escape")
        assert caption.text_content().startswith("step 3 of 3")

    def test_a_step_that_is_read_stays_while_the_training_goes_on(self, canvas):
        put(canvas, "VisageTrainStyleLora")
        tell = """async count => {
            const { api } = await import('/scripts/api.js');
            const points = Array.from({ length: count }, (_, i) => [i + 1, 0.3 - i / 100]);
            const detail = { node: `${app.graph.nodes[0].id}`, steps: 8, points };
            api.dispatchEvent(new CustomEvent('visage.loss', { detail }));
        }"""
        canvas.evaluate(tell, 3)
        curve = canvas.get_by_role("slider", name="loss by step")
        caption = canvas.locator(".visage-loss .visage-caption")
        curve.press("Home")
        assert caption.text_content() == "at step 1: 0.3000"
        canvas.evaluate(tell, 4)
        assert caption.text_content() == "at step 1: 0.3000"
        curve.press("Escape")
        assert caption.text_content().startswith("step 4 of 8")

    def test_a_message_finds_its_node_inside_a_subgraph(self, canvas):
        put(canvas, "VisageTrainStyleLora")
        canvas.evaluate("void app.graph.convertToSubgraph(new Set(app.graph.nodes))")
        canvas.wait_for_timeout(300)
        canvas.evaluate(
            """async () => {
                const { api } = await import('/scripts/api.js');
                const [outer] = app.graph.nodes;
                const node = `${outer.id}:${outer.subgraph.nodes[0].id}`;
                const detail = { node, steps: 8, points: [[1, 0.3], [2, 0.2]] };
                api.dispatchEvent(new CustomEvent('visage.loss', { detail }));
                app.canvas.setGraph(outer.subgraph);
                app.canvas.ds.offset = [300, 60];
            }"""
        )
        caption = canvas.locator(".visage-loss .visage-caption")
        caption.filter(has_text="step 2 of 8, loss 0.200").wait_for()


class TestProgressLine:
    def tell(self, canvas, *messages: tuple[str, dict]) -> None:
        canvas.evaluate(
            """async messages => {
                const { api } = await import('/scripts/api.js');
                for (const [name, detail] of messages)
                    api.dispatchEvent(new CustomEvent(name, { detail }));
            }""",
            messages,
        )

    def at(self, node: str, value: int, total: int = 60, **more) -> tuple[str, dict]:
        state = {"state": "running", "node_id": node, "value": value, "max": total, **more}
        return "progress_state", {"prompt_id": "1", "nodes": {node: state}}

    def test_a_long_run_is_told_by_stage_and_time_left(self, canvas):
        put(canvas, "VisageStyleTransfer")
        node = str(canvas.evaluate("app.graph.nodes[0].id"))
        stages = [["inverting", 40], ["painting", 20]]
        line = canvas.locator(".visage-progress")
        self.tell(
            canvas, ("execution_start", {}), self.at(node, 0, 1),
            ("visage.stages", {"node": node, "stages": stages}), self.at(node, 1),
        )  # fmt: skip
        assert not line.is_visible(), "a short run needs no words"
        canvas.wait_for_timeout(2200)
        self.tell(canvas, self.at(node, 45))
        said = r"Style Transfer: painting 5 of 20, about \d+ s left"
        assert re.fullmatch(said, line.text_content())
        assert line.get_attribute("aria-valuetext") == line.text_content()
        self.tell(canvas, ("execution_success", {}))
        assert not line.is_visible()

    def test_what_a_node_expands_to_is_told_under_its_name(self, canvas):
        put(canvas, "VisageEditFaces")
        node = str(canvas.evaluate("app.graph.nodes[0].id"))
        inner = f"{node}.0.0.4"
        self.tell(canvas, ("execution_start", {}), self.at(inner, 1, display_node_id=node))
        canvas.wait_for_timeout(2200)
        self.tell(canvas, self.at(inner, 30, display_node_id=node))
        text = canvas.locator(".visage-progress").text_content()
        assert text.startswith("Edit Faces: 30 of 60, about ")
        self.tell(canvas, ("execution_interrupted", {}))

    def test_nodes_of_others_are_left_alone(self, canvas):
        put(canvas, "KSampler")
        node = str(canvas.evaluate("app.graph.nodes[0].id"))
        self.tell(canvas, ("execution_start", {}), self.at(node, 1))
        canvas.wait_for_timeout(2200)
        self.tell(canvas, self.at(node, 30))
        assert not canvas.locator(".visage-progress").is_visible()


class TestStarterBanner:
    def test_says_where_a_checkpoint_belongs_when_there_is_none(self, canvas):
        put(canvas, "VisageLoadStarter")
        canvas.get_by_text("choose your checkpoint here").click()
        assert "models/checkpoints" in canvas.locator(".visage-banner").text_content()

    def test_a_checkpoint_takes_the_starters_place_and_links(self, canvas):
        put(canvas, "VisageLoadStarter")
        canvas.evaluate(
            """() => {
                const { nodeData } = LiteGraph.registered_node_types.CheckpointLoaderSimple;
                nodeData.input.required.ckpt_name[0].push('mine.safetensors');
                const [starter] = app.graph.nodes;
                const targets = { KSampler: 'model', CLIPTextEncode: 'clip', VAEDecode: 'vae' };
                for (const [slot, [kind, input]] of Object.entries(targets).entries()) {
                    const node = LiteGraph.createNode(kind);
                    node.pos = [500, 300 * slot];
                    app.graph.add(node);
                    starter.connect(slot, node, input);
                }
            }"""
        )
        canvas.get_by_text("choose your checkpoint here").click()
        canvas.get_by_label("checkpoint").select_option("mine.safetensors")
        nodes = {node["class_type"]: node["inputs"] for node in exported(canvas)}
        assert "VisageLoadStarter" not in nodes
        assert nodes["CheckpointLoaderSimple"] == {"ckpt_name": "mine.safetensors"}
        assert nodes["KSampler"]["model"][1] == 0
        assert nodes["CLIPTextEncode"]["clip"][1] == 1
        assert nodes["VAEDecode"]["vae"][1] == 2


class TestRegionColours:
    def test_a_click_on_a_swatch_sets_the_colour(self, canvas):
        put(canvas, "VisageStyleRegion")
        canvas.get_by_label("green", exact=True).click()
        (node,) = exported(canvas)
        assert node["inputs"]["colour"] == "green"
        checked = canvas.locator(".visage-swatch[aria-checked=true]")
        assert checked.get_attribute("data-colour") == "green"
        reload(canvas)
        assert checked.get_attribute("data-colour") == "green"

    def test_the_second_of_a_chain_is_blue_by_itself(self, canvas):
        put(canvas, "VisageStyleRegion")
        canvas.evaluate(
            """() => {
                const second = LiteGraph.createNode('VisageStyleRegion');
                second.pos = [500, 60];
                app.graph.add(second);
                app.graph.nodes[0].connect(0, second, 'regions');
            }"""
        )
        reload(canvas)
        canvas.wait_for_function(
            """wanted => [...document.querySelectorAll('[data-colour=auto]')]
                .map(swatch => swatch.style.background).sort().reverse().join(' ') === wanted""",
            arg=" ".join(sorted(["rgb(228, 87, 86)", "rgb(76, 120, 168)"], reverse=True)),
        )


class TestTradeoff:
    def test_reads_runs_and_shows_their_pictures(self, canvas):
        for label, colour in (("denoise=0.3, weight=1", 0xC00000), ("denoise=0.9", 0x0000C0)):
            put(canvas, "VisageTradeoff")
            canvas.evaluate(
                """async ([label, color]) => {
                    const [plot] = app.graph.nodes;
                    plot.pos = [360, 60];
                    const put = (kind, values, y) => {
                        const node = LiteGraph.createNode(kind);
                        for (const widget of node.widgets ?? [])
                            if (widget.name in values) widget.value = values[widget.name];
                        node.pos = [-20, y];
                        app.graph.add(node);
                        return node;
                    };
                    plot.widgets.find(widget => widget.name === 'label').value = label;
                    plot.widgets.find(widget => widget.name === 'keep').value = 'page';
                    const size = { width: 64, height: 64 };
                    const picture = put('EmptyImage', { ...size, color }, 0);
                    const style = put('EmptyImage', { ...size, color: 255 }, 200);
                    const score = put('VisageStyleScore', {}, 400);
                    const shown = put('PreviewImage', {}, 700);
                    picture.connect(0, score, 'result');
                    style.connect(0, score, 'style');
                    picture.connect(0, shown, 'images');
                    score.connect(0, plot, 'style');
                    score.connect(0, plot, 'identity');
                    await app.queuePrompt(0);
                }""",
                [label, colour],
            )
            run = canvas.get_by_role("button", name=starts_with(label))
            run.wait_for(timeout=60_000)
        caption = canvas.locator(".visage-tradeoff .visage-caption")
        for label, wanted in (("denoise=0.3, weight=1", "red"), ("denoise=0.9", "blue")):
            run = canvas.get_by_role("button", name=starts_with(label))
            run.hover()
            assert caption.text_content().startswith(f"{label}: style ")
            run.click()
            picture = canvas.locator(".visage-run")
            picture.wait_for()
            canvas.wait_for_function("document.querySelector('.visage-run').naturalWidth === 64")
            shown = Image.open(BytesIO(picture.screenshot())).convert("RGB")
            red, _, blue = shown.getpixel((shown.width // 2, shown.height // 2))
            assert (red > blue) == (wanted == "red")
            picture.click()
        run.focus()
        assert caption.text_content().startswith("denoise=0.9: style ")
        run.press("Enter")
        picture.wait_for()
        assert picture.get_attribute("alt") == "the picture of denoise=0.9"
        canvas.keyboard.press("Escape")
        assert not picture.is_visible()
        assert run.evaluate("dot => dot === document.activeElement"), "back where it began"


def test_nothing_went_wrong(canvas, ours):
    assert ours(canvas.complaints) == []
