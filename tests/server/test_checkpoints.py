"""The workflows for people's own checkpoints, on a real server.

Each runs on files of its models' true layout with random values; see `benchmarks.checkpoints`.
"""

import json
import re
from pathlib import Path

import pytest
import visage
from visage.benchmarks import checkpoints
from visage.headless.server import comfy_server
from visage.headless.validation import problems
from visage.models.needed_files import needed_files
from visage.models.stand_ins import write_random_file

PACK = Path(visage.__file__).parent
# Those of one model follow each other, so that ComfyUI keeps it loaded.
NAMES = sorted(checkpoints.names(), key=lambda name: needed_files(checkpoints.twin(name)))
# Newer frontends name the button itself, older ones the group that it stands in.
RUN_BUTTON = "button[data-testid=queue-button], [data-testid=queue-button] button"
# What the templates do not name: other models in their places, and kohya's LoRAs.
OTHERS = {
    "SDXL without channels for a mask": ("face_edit_plain", "sd_xl_base_1.0.safetensors"),
    "SD 2.1": ("face_edit_plain", "v2-1_512-ema-pruned.safetensors"),
    "Flux dev": ("face_edit_flux_fill", "flux1-dev.safetensors"),
}
LORAS = {
    "face_edit_plain": "kohya.safetensors",
    "style_keep_identity_sdxl": "kohya_xl.safetensors",
}


@pytest.fixture(scope="module")
def stand_ins(comfy, comfyui_path, tmp_path_factory):
    """A server with a file for everything that the templates, and the tests here, load."""
    folder = tmp_path_factory.mktemp("models")
    loads_others = [checkpoints.twin(name) for name, _ in OTHERS.values()]
    for prompt, (_, file) in zip(loads_others, OTHERS.values(), strict=True):
        with_model(file)(prompt)
    loads_loras = [checkpoints.twin(name) for name in LORAS]
    for prompt, file in zip(loads_loras, LORAS.values(), strict=True):
        with_lora(file)(prompt)
    checkpoints.write_files(folder, loads_others + loads_loras)
    with checkpoints.stand_in_server(comfyui_path, folder, NAMES) as running:
        yield running


def with_model(file: str):
    """Loads another file in the place of a template's model."""

    def change(prompt: dict) -> None:
        (inputs,) = (n["inputs"] for n in prompt.values() if n["_meta"]["title"] == "Model")
        inputs["ckpt_name" if "ckpt_name" in inputs else "unet_name"] = file

    return change


def with_lora(file: str):
    """Puts ComfyUI's LoRA loader between a template's model and what takes it."""

    def change(prompt: dict) -> None:
        (key,) = (key for key, node in prompt.items() if node["_meta"]["title"] == "Model")
        for node in prompt.values():
            for name, value in node["inputs"].items():
                if value == [key, 0]:
                    node["inputs"][name] = ["lora", 0]
        prompt["lora"] = {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {"model": [key, 0], "lora_name": file, "strength_model": 1.0},
            "_meta": {"title": "LoRA"},
        }

    return change


def test_they_name_files_and_the_server_has_all_else(stand_ins):
    object_info = stand_ins.get("/object_info")
    for name in NAMES:
        prompt = checkpoints.twin(name)
        assert needed_files(prompt), name
        # InsightFace's packs are not made here, the runs take the built-in analyzer; pictures are
        # uploaded by each run.
        elsewhere = ("analyzer", "LoadImage")
        found = problems(prompt, object_info)
        assert [line for line in found if not any(word in line for word in elsewhere)] == [], name


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_changes_nothing_outside(stand_ins, name):
    assert checkpoints.run_template(stand_ins, name) == 0


@pytest.mark.parametrize("model", OTHERS)
def test_other_models_run_in_its_place(stand_ins, model):
    name, file = OTHERS[model]
    assert checkpoints.run_template(stand_ins, name, with_model(file)) == 0


@pytest.mark.parametrize("name", LORAS)
def test_kohyas_loras_act(stand_ins, name):
    assert checkpoints.run_template(stand_ins, name, with_lora(LORAS[name])) == 0


def test_the_page_knows_every_model_that_the_templates_name():
    script = (PACK / "web" / "own_models.js").read_text(encoding="utf-8")
    listed = re.findall('"([^"]+)",', script.partition("SHIPPED = [")[2].partition("]")[0])
    named = {
        node["inputs"][name]
        for template in NAMES
        for node in checkpoints.twin(template).values()
        for name in ("ckpt_name", "unet_name")
        if name in node["inputs"]
    }
    assert set(listed) == named


@pytest.fixture(scope="module")
def own_model(comfy, comfyui_path, tmp_path_factory):
    """A server of a person who has one SD 1.5 inpainting file, by another name."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "checkpoints").mkdir()
    layout = checkpoints.layout_of("checkpoints", "sd-v1-5-inpainting.safetensors")
    write_random_file(folder / "checkpoints" / "epicInpainting.safetensors", layout)
    with comfy_server(comfyui_path, options=checkpoints.options_for(folder)) as running:
        yield running


def test_two_clicks_from_the_template_browser_to_a_picture(own_model, open_page, template_card):
    name = "face_edit_sd15"
    template = json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    values = {node.get("title"): node.get("widgets_values") for node in template["nodes"]}
    values["Crop faces"][0], values["Sampler"][2] = 128, 2  # that it takes seconds
    page = open_page(own_model)
    page.route(re.compile(f"{name}\\.json"), lambda route: route.fulfill(json=template))
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    template_card(page, name).click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("app.graph.nodes.some(n => n.title === 'Result')")
    page.locator(RUN_BUTTON).first.click()
    shown = "app.graph.nodes.find(n => n.title === 'Result')?.imgs?.[0]?.naturalWidth === 512"
    page.wait_for_function(shown, timeout=240_000)
    chosen = "app.graph.nodes.find(n => n.title === 'Model').widgets[0].value"
    assert page.evaluate(chosen) == "epicInpainting.safetensors"
    assert page.complaints == []
    page.close()
