"""Tiny students of the tests: tokenizers and models that are made, not shipped."""

import json

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPACED = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
SENTENCES = [
    "Answer with the letter of the right option only. A B C D E F G H I J a b c d e f 1 2 3 4 5 6",
    "What is 12 + 5 - 3 ? Give only the final number. [[17]] [[A]] [[B]] user assistant system",
]
LESSONS = {
    "2 + 2 ?": "4",
    "7 + 5 ?": "12",
    "say yes": "yes, gladly",
    "count": "one two three four five six [[6]] and so on",
    "short": "so [[3]].",
}


def build_tokenizer(template, specials, texts=SENTENCES, **named):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        [*texts] * 3,
        trainers.BpeTrainer(
            vocab_size=400 if texts is SENTENCES else 2000,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    raw.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    tokenizer.chat_template = template
    return tokenizer


def build_model(tokenizer, spread):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=spread,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )


def save_student(model, tokenizer, folder):
    from caft.students.folders import folder_revision

    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    student = {"revision": folder_revision(folder), "context": 512, "source": {"path": "tiny"}}
    (folder / "student.json").write_text(json.dumps(student))
    return folder
