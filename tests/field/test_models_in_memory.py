"""Models that were loaded elsewhere, in the states that people leave them in."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaForSequenceClassification,
    Phi3Config,
    Phi3ForCausalLM,
)

import ctviz
from ctviz.errors import BadTask, UnsupportedModel
from ctviz.inspection.patterns import attention_patterns
from ctviz.models.loading import load
from ctviz.tasks import Pair
from ctviz.tasks.batch import encode, fitting
from ctviz.tasks.continuations import log_probabilities
from ctviz.tasks.grading import generate
from tests.field.models import TINY, TOKENIZER, llama, measured, metric_of


def dropping() -> GPT2LMHeadModel:
    """A random GPT-2 that drops half of everything while it is trained."""
    torch.manual_seed(0)
    drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.5)
    config = GPT2Config(
        vocab_size=1829, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0, **drop,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


class TestTrainingMode:
    """A user goes on training between two questions: dropout is not part of any answer."""

    @pytest.fixture
    def loaded(self):
        return load(dropping(), tokenizer=TOKENIZER)

    def test_the_metric_is_that_of_evaluation_mode(self, loaded):
        right = metric_of(loaded.model, TOKENIZER)
        loaded.model.train()
        assert measured(loaded) == pytest.approx(right, abs=1e-4)

    def test_a_single_module_that_trains(self, loaded):
        right = metric_of(loaded.model, TOKENIZER)
        loaded.model.transformer.h[0].mlp.dropout.train()
        assert measured(loaded) == pytest.approx(right, abs=1e-4)

    def test_scores_are_those_of_evaluation_mode(self, loaded):
        loaded.model.train()
        found = ctviz.discover(loaded, "sva", edges=5, examples=4, method="eap", draws=1)
        loaded.model.eval()
        again = ctviz.discover(loaded, "sva", edges=5, examples=4, method="eap", draws=1)
        assert (found.scores.values == again.scores.values).all()

    def test_choices_generation_and_patterns(self, loaded):
        asked = [("The keys", [" are", " is"])]
        ids = torch.tensor([TOKENIZER("The keys are").input_ids])
        hidden = loaded.anatomy.hidden(ids)

        def said():
            (pattern,) = attention_patterns(loaded.anatomy, ids, hidden, [0]) or [None]
            return log_probabilities(loaded, asked), generate(loaded, ["The keys"], 5), pattern

        right = said()
        loaded.model.train()
        found = said()
        assert found[:2] == right[:2]
        assert torch.equal(found[2], right[2])

    def test_the_mode_is_given_back(self, loaded):
        loaded.model.train()
        loaded.model.transformer.h[1].eval()
        measured(loaded)
        assert loaded.model.transformer.h[0].training
        assert not loaded.model.transformer.h[1].training


def test_a_models_own_settings_of_generation_are_not_followed():
    """Chat models are stored with penalties: the first answer would not be the likeliest."""
    loaded = load("tiny")
    prompt = "The keys to the cabinet"
    right = generate(loaded, [prompt], 6)
    ids = TOKENIZER(prompt, return_tensors="pt").input_ids
    said = []
    for _ in range(6):  # by transformers alone, a token at a time
        with torch.no_grad():
            token = int(
                loaded.model(torch.cat([ids, torch.tensor([said]).long()], 1))
                .logits[0, -1]
                .argmax()
            )
        if token == TOKENIZER.eos_token_id:
            break
        said.append(token)
    assert right == [TOKENIZER.decode(said, skip_special_tokens=True).partition("\n")[0]]
    own = GenerationConfig(
        repetition_penalty=5.0, no_repeat_ngram_size=1, do_sample=True, temperature=9.0,
        suppress_tokens=said[:1], num_beams=2, max_length=7, eos_token_id=TOKENIZER.eos_token_id,
    )  # fmt: skip
    loaded.model.generation_config = own
    assert generate(loaded, [prompt], 6) == right
    assert loaded.model.generation_config is own


class TestParts:
    """What is not a plain language model of transformers is refused by name."""

    @pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["lm_head"]])
    def test_adapters_that_are_not_merged(self, tmp_path, targets):
        from peft import LoraConfig

        model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "model"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
        with pytest.raises(UnsupportedModel, match=r"a Linear of peft.*Merge adapters"):
            load(model, tokenizer=TOKENIZER)

    def test_a_linear_that_does_more(self, tmp_path):
        class Twice(torch.nn.Linear):
            def forward(self, input):
                return 2 * super().forward(input)

        model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "model"))
        model.model.layers[0].self_attn.o_proj = Twice(32, 32, bias=False)
        with pytest.raises(
            UnsupportedModel, match=r"o_proj is a Twice .* not all that it computes"
        ):
            load(model, tokenizer=TOKENIZER)

    def test_weights_that_are_whole_numbers(self, tmp_path):
        model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "model"))
        weight = model.model.layers[0].mlp.up_proj.weight
        model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(
            (100 * weight).to(torch.int8), requires_grad=False
        )
        with pytest.raises(UnsupportedModel, match=r"up_proj.weight are quantized \(torch.int8\)"):
            load(model, tokenizer=TOKENIZER)

    def test_a_type_that_is_too_small(self, tmp_path):
        model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "model"))
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e5  # float16 ends at 65,504
        with pytest.raises(UnsupportedModel, match=r"up_proj.weight hold numbers that are not"):
            load(model, tokenizer=TOKENIZER, dtype=torch.float16)

    def test_a_model_without_an_output_layer(self, tmp_path):
        bare = GPT2Model.from_pretrained(TINY)
        judge = LlamaForSequenceClassification.from_pretrained(llama(tmp_path / "model"))
        for model in (bare, judge):
            with pytest.raises(UnsupportedModel, match=r"predicts no next token.*ForCausalLM"):
                load(model, tokenizer=TOKENIZER)

    def test_a_model_that_is_not_causal(self, tmp_path):
        model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "model"))
        model.config.is_causal = False
        with pytest.raises(UnsupportedModel, match="in both directions"):
            load(model, tokenizer=TOKENIZER)


class TestLongPrompts:
    """Phi-3 computes prompts beyond a length with other frequencies, and then all of a batch."""

    SHORT = Pair("The key", "The keys", " is", " are")
    LONG = Pair("The keys to the cabinet", "The key to the cabinet", " is", " are")

    @pytest.fixture
    def loaded(self):
        torch.manual_seed(0)
        config = Phi3Config(
            vocab_size=1829, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            original_max_position_embeddings=4, initializer_range=0.3, bos_token_id=0,
            eos_token_id=0, pad_token_id=0,
            rope_parameters={
                "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4,
                "long_factor": [8.0, 16.0, 32.0, 64.0], "original_max_position_embeddings": 4,
            },
        )  # fmt: skip
        return load(Phi3ForCausalLM(config).eval(), tokenizer=TOKENIZER)

    def test_only_short_ones_are_taken(self, loaded):
        assert loaded.anatomy.context == 4
        found = fitting([self.SHORT, self.LONG], TOKENIZER, longest=loaded.anatomy.context)
        assert found.pairs == (self.SHORT,)
        assert "the model reads at most 4" in found.first_dropped

    def test_they_are_what_transformers_alone_computes(self, loaded):
        batch = encode([self.SHORT], TOKENIZER)
        logits = loaded.anatomy.logits_at(loaded.anatomy.hidden(batch.clean), batch.positions)
        with torch.no_grad():
            right = loaded.model(batch.clean).logits[0, -1]
        assert torch.allclose(logits[0, 0], right, atol=1e-5)

    def test_inspection_says_it(self, loaded):
        from ctviz.inspection.prompt import own_prompt

        with pytest.raises(BadTask, match="the model reads at most 4"):
            own_prompt(loaded, self.LONG.clean)
