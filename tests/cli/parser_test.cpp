#include "cli/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "settings/options.h"

namespace resnet::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A command with an argument of every kind.
class Sample final : public Command {
 public:
  Sample() : Command("sample", "A command of the test.") {
    add({.name = "RUN", .help = "a run", .target = &run_name, .positional = true, .example = "runs/a"});
    add({.name = "FILE", .help = "files", .target = &files, .positional = true, .optional = true});
    accept({"epochs", "lr", "model", "weight-decay", "optimizer", "init", "drop-last"});
    add({.name = "classes",
         .placeholder = "N",
         .help = "classes",
         .default_text = "10",
         .target = count("classes", classes, 100)});
    add({.name = "svg", .placeholder = "FILE", .help = "a picture", .target = &svg});
    add({.name = "json", .help = "as JSON", .target = &json});
  }
  int run() override { return kDone; }
  settings::Settings flags(const settings::Settings& base = {}) const { return from_flags(base); }
  bool given(const std::string& name) const { return argument(name).given; }

  std::string run_name, svg;
  std::vector<std::string> files;
  std::int64_t classes = 10;
  bool json = false;
};

class ParserTest : public testing::Test {
 protected:
  ParserTest() {
    auto owned = std::make_unique<Sample>();
    sample_ = owned.get();
    commands_.push_back(std::move(owned));
    commands_.push_back(make_plot());
    commands_.push_back(make_summary());
  }

  Invocation parsed(const std::vector<const char*>& words) {
    std::vector<const char*> argv = {"resnet"};
    argv.insert(argv.end(), words.begin(), words.end());
    return parse({"What it is.", "The end.", "1.2.3"}, commands_, static_cast<int>(argv.size()), argv.data());
  }
  // The error of words that the named command does not take, "what | hint".
  std::string rest_error(std::initializer_list<const char*> words) {
    const Invocation invocation = parsed(words);
    try {
      invocation.command->check_rest(invocation.rest);
    } catch (const ConfigError& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return "";
  }

  std::string parse_error(std::initializer_list<const char*> words) {
    try {
      parsed(words);
    } catch (const ConfigError& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return "";
  }
  std::string answer(const std::vector<const char*>& words) {
    testing::internal::CaptureStdout();
    EXPECT_TRUE(parsed(words).answered);
    return testing::internal::GetCapturedStdout();
  }

  Commands commands_;
  Sample* sample_ = nullptr;
};

TEST_F(ParserTest, SetsEveryKindOfArgument) {
  const Invocation invocation =
      parsed({"sample", "runs/a", "--classes", "7", "--svg=x.svg", "--json", "--epochs", "3", "--lr", "0.5"});
  EXPECT_EQ(invocation.command, sample_);
  EXPECT_FALSE(invocation.answered);
  EXPECT_EQ(sample_->run_name, "runs/a");
  EXPECT_EQ(sample_->svg, "x.svg");
  EXPECT_EQ(sample_->classes, 7);
  EXPECT_TRUE(sample_->json);
  EXPECT_EQ(sample_->flags().epochs, 3);
  EXPECT_EQ(sample_->flags().lr, 0.5F);
  EXPECT_EQ(rest_error({"sample", "a"}), "");
}

TEST_F(ParserTest, SaysWhatWasGiven) {
  parsed({"sample", "a", "--epochs", "3", "--json"});
  EXPECT_TRUE(sample_->given("epochs"));
  EXPECT_TRUE(sample_->given("json"));
  EXPECT_TRUE(sample_->given("RUN"));
  EXPECT_FALSE(sample_->given("lr"));
  EXPECT_FALSE(sample_->given("classes"));
}

TEST_F(ParserTest, FlagsOverrideWhatTheyAreReadOver) {
  parsed({"sample", "a", "--epochs", "3"});
  settings::Settings base;
  base.epochs = 5;
  base.lr = 0.125F;
  EXPECT_EQ(sample_->flags(base).epochs, 3);
  EXPECT_EQ(sample_->flags(base).lr, 0.125F);
}

TEST_F(ParserTest, TheLastOfAnOptionThatIsGivenTwiceCounts) {
  parsed({"sample", "a", "--epochs", "3", "--epochs", "4", "--classes", "7", "--classes", "8", "--svg", "a",
          "--svg=b"});
  EXPECT_EQ(sample_->flags().epochs, 4);
  EXPECT_EQ(sample_->classes, 8);
  EXPECT_EQ(sample_->svg, "b");
}

TEST_F(ParserTest, CountsAreDecimalAndWithinTheirBounds) {
  parsed({"sample", "a", "--classes", "010"});
  EXPECT_EQ(sample_->classes, 10);
  for (const char* text : {"0x10", "0", "101", "99999999999999999999", "+7", "7 "})
    EXPECT_THAT(parse_error({"sample", "a", "--classes", text}),
                HasSubstr("give a whole number from 1 to 100"))
        << text;
}

TEST_F(ParserTest, NothingIsEmpty) {
  EXPECT_EQ(parse_error({"sample", "a", "--svg", ""}), "--svg cannot be '' | --svg: a picture");
  EXPECT_EQ(parse_error({"sample", "a", "--svg=", "--json"}), "--svg cannot be '' | --svg: a picture");
  EXPECT_EQ(parse_error({"sample", ""}), "RUN cannot be '' | RUN: a run");
  EXPECT_EQ(parse_error({"sample", "a", ""}), "FILE cannot be '' | FILE: files");
  EXPECT_THAT(parse_error({"sample", "a", "--epochs="}), HasSubstr("--epochs cannot be ''"));
  EXPECT_FALSE(sample_->json);
}

TEST_F(ParserTest, AFlagIsNoValueOfAnother) {
  EXPECT_EQ(parse_error({"sample", "a", "--svg", "--json"}), "--svg needs a value, FILE | --svg: a picture");
  EXPECT_EQ(parse_error({"sample", "a", "--epochs", "--lr=1"}).substr(0, 24), "--epochs needs a value, ");
  EXPECT_THAT(parse_error({"sample", "a", "--svg", "--help"}), HasSubstr("--svg needs a value"));
  parsed({"sample", "a", "--svg=--json", "--lr", "0.5"});
  EXPECT_EQ(sample_->svg, "--json") << "where it is meant";
  parsed({"sample", "a", "--svg=a=", "--lr", "0.5"});
  EXPECT_EQ(sample_->svg, "a=");
}

TEST_F(ParserTest, BehindTwoDashesNoWordIsAFlag) {
  EXPECT_EQ(rest_error({"sample", "a", "--", "-x.jpg", "--json"}), "");
  EXPECT_THAT(sample_->files, ElementsAre("-x.jpg", "--json"));
  EXPECT_FALSE(sample_->json);
}

TEST_F(ParserTest, APathInBracketsIsNoList) {
  for (const auto& words : {std::vector<const char*>{"sample", "a", "--", "[b,c]", "[]"},
                            {"sample", "a", "[b,c]", "--svg", "[d,e]", "[]"}}) {
    EXPECT_TRUE(parsed(words).rest.empty());
    EXPECT_THAT(sample_->files, ElementsAre("./[b,c]", "./[]"));
  }
  EXPECT_EQ(sample_->svg, "[d,e]");
}

TEST_F(ParserTest, AFlagOfAConfigurationCanBeTakenBack) {
  settings::Settings base;
  base.drop_last = true;
  parsed({"sample", "a", "--drop-last=no"});
  EXPECT_FALSE(sample_->flags(base).drop_last);
  base.drop_last = false;
  parsed({"sample", "a", "--drop-last"});
  EXPECT_TRUE(sample_->flags(base).drop_last);
  parsed({"sample", "a", "--drop-last=maybe"});
  EXPECT_THROW(sample_->flags(base), ConfigError);
}

TEST_F(ParserTest, RefusesValuesThatTheTableRefuses) {
  parsed({"sample", "a", "--epochs", "none"});
  EXPECT_THROW(sample_->flags(), ConfigError);
  EXPECT_THROW(parsed({"sample", "a", "--classes", "ten"}), ConfigError);
  EXPECT_THROW(parsed({"sample", "a", "--epochs"}), ConfigError) << "a value is missing";
  EXPECT_THROW(parsed({"sample"}), ConfigError) << "RUN is missing";
}

TEST_F(ParserTest, AMistypedFlagIsAnsweredWithTheNearest) {
  EXPECT_EQ(rest_error({"sample", "a", "--epoch", "3"}),
            "resnet sample has no flag --epoch | did you mean --epochs?");
  EXPECT_EQ(rest_error({"sample", "a", "--jsn=1"}), "resnet sample has no flag --jsn | did you mean --json?");
  EXPECT_EQ(rest_error({"sample", "a", "--hlep"}), "resnet sample has no flag --hlep | did you mean --help?");
  EXPECT_EQ(rest_error({"sample", "a", "--batch-size", "3"}),
            "resnet sample has no flag --batch-size | resnet sample --help lists its flags");
  EXPECT_EQ(rest_error({"summary", "stray"}),
            "resnet summary takes no 'stray' | resnet summary --help shows what it takes");
}

TEST_F(ParserTest, AFlagOfOtherProgramsIsAnsweredWithWhatThereIs) {
  EXPECT_THAT(rest_error({"sample", "a", "--wd", "0.1"}), HasSubstr("did you mean --weight-decay?"));
  EXPECT_THAT(rest_error({"sample", "a", "--adamw"}), HasSubstr("did you mean --optimizer adamw?"));
  EXPECT_THAT(rest_error({"sample", "a", "--pretrained"}), HasSubstr("did you mean --init FILE?"));
  EXPECT_EQ(rest_error({"sample", "a", "--jobs", "3"}),
            "resnet sample has no flag --jobs | resnet sample --help lists its flags")
      << "it has no --threads";
  EXPECT_EQ(rest_error({"sample", "a", "--class", "3"}),
            "resnet sample has no flag --class | did you mean --classes?");
}

TEST_F(ParserTest, SaysWhatIsMissing) {
  EXPECT_EQ(parse_error({"sample"}), "resnet sample needs RUN: a run | e.g. resnet sample runs/a");
  EXPECT_EQ(parse_error({"sample", "a", "--svg"}), "--svg needs a value, FILE | --svg: a picture");
  EXPECT_EQ(parse_error({"sample", "a", "--classes", "ten"}),
            "--classes cannot be 'ten' | give a whole number from 1 to 100");
}

TEST_F(ParserTest, HelpAndVersionHaveTheirUsualNames) {
  for (const auto& words :
       {std::vector<const char*>{"help", "sample"}, {"sample", "-h"}, {"help", "sample", "x"}}) {
    EXPECT_THAT(answer(words), HasSubstr("--classes")) << words.front();
  }
  EXPECT_THAT(answer({"help"}), HasSubstr("A command of the test."));
  for (const char* flag : {"-v", "-V", "--version"}) EXPECT_EQ(answer({flag}), "1.2.3\n");
  EXPECT_THAT(parsed({"help", "smaple"}).before, ElementsAre("smaple"));
}

TEST_F(ParserTest, HelpIsAWordToo) {
  EXPECT_THAT(answer({"help"}), HasSubstr("What it is."));
  EXPECT_EQ(answer({"help", "sample"}), answer({"sample", "--help"}));
  const Invocation none = parsed({"help", "simple"});
  EXPECT_EQ(none.command, nullptr);
  EXPECT_THAT(none.before, ElementsAre("simple"));
  EXPECT_EQ(parsed({}).command, nullptr);
}

TEST_F(ParserTest, SaysWhatAFlagTakes) {
  EXPECT_THAT(parse_error({"sample", "a", "--classes"}),
              HasSubstr("--classes needs a value, N | --classes: classes"));
  EXPECT_THAT(parse_error({"sample", "a", "--classes", "ten"}),
              HasSubstr("--classes cannot be 'ten' | give a whole number from 1 to 100"));
  EXPECT_THAT(parse_error({"sample", "a", "--json=ten"}), HasSubstr("--json takes no value: give it alone"));
}

TEST_F(ParserTest, KeepsWordsThatBelongToNoCommand) {
  EXPECT_THAT(parsed({"--lr", "0.1", "sample", "a"}).before, ElementsAre("--lr", "0.1"));
  const Invocation nothing = parsed({"smaple"});
  EXPECT_EQ(nothing.command, nullptr);
  EXPECT_THAT(nothing.before, ElementsAre("smaple"));
}

TEST_F(ParserTest, HelpNamesCommandsArgumentsAndDefaults) {
  EXPECT_THAT(parsed({}).help, HasSubstr("A command of the test."));
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parsed({"sample", "--help"}).answered);
  const std::string help = testing::internal::GetCapturedStdout();
  for (const char* text :
       {"RUN", "--epochs N=10", "--classes N=10", "--svg FILE", "--json", "network: d2l"}) {
    EXPECT_THAT(help, HasSubstr(text));
  }
  testing::internal::CaptureStdout();
  EXPECT_TRUE(parsed({"--version"}).answered);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "1.2.3\n");
}

TEST(ProgramCommands, TakeEveryOptionOfTheTable) {
  const Commands commands = make_commands();
  for (const settings::Option& option : settings::options()) {
    const auto takes_it = [&](const auto& command) {
      return std::any_of(command->arguments().begin(), command->arguments().end(),
                         [&](const Argument& argument) { return argument.name == option.name; });
    };
    EXPECT_EQ(std::any_of(commands.begin(), commands.end(), takes_it), option.flag) << option.name;
  }
}

TEST(ProgramCommands, TakeNoFlagTwiceAndExplainEveryOne) {
  Commands commands = make_commands();
  commands.push_back(make_manual(commands));
  EXPECT_THAT(names_of(commands), ElementsAre("train", "eval", "predict", "serve", "report", "data", "import",
                                              "export", "compare", "summary", "plan", "bench", "plot"))
      << "the manual is hidden";
  for (const auto& command : commands) {
    EXPECT_FALSE(command->description().empty());
    for (const Argument& argument : command->arguments()) {
      const auto same = [&](const Argument& other) { return other.name == argument.name; };
      EXPECT_EQ(std::count_if(command->arguments().begin(), command->arguments().end(), same), 1)
          << command->name() << ' ' << argument.name;
      EXPECT_FALSE(argument.help.empty()) << command->name() << ' ' << argument.name;
    }
  }
}

}  // namespace
}  // namespace resnet::cli
